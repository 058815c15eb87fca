import { expect } from 'vitest';
import { KERNEL, LAMINA, type Mounter } from '../support/mounters.ts';
import { type Tree } from '../support/tree.ts';
import { type Site, told } from './site.ts';

/** Something that is wrong with an upper. */
export interface Damage {
  readonly name: string;
  readonly upper?: Tree;
  readonly top?: Tree;
  readonly bottom?: Tree;
  readonly make?: (site: Site) => Promise<unknown>;
  /** `KIND LAYER PATH` of all that is mended. */
  readonly mended?: readonly string[];
  /** ... and of all that is not. */
  readonly left?: readonly string[];
  /** What a repair changes for a user of such a mount; nothing where it is not said. */
  readonly changes?: Partial<Record<Mounter['kind'], string>>;
}

/** Checks, mends, and holds what mounts show against what they showed before. */
export async function expectMended(on: Site, { mended = [], left = [], changes = {} }: Damage): Promise<void> {
  const found = on.check();
  expect(told(found.left)).toEqual([...mended, ...left].sort());
  expect([found.mended, found.failures]).toEqual([[], []]);
  const repairable = found.left.filter((finding) => finding.repairable);
  expect(told(repairable)).toEqual([...mended].sort());
  const before = { kernel: await on.see(KERNEL), lamina: await on.see(LAMINA) };
  const done = on.check({ repair: true });
  expect(told(done.mended)).toEqual([...mended].sort());
  expect(told(done.left)).toEqual([...left].sort());
  expect(done.left.filter((finding) => finding.repairable)).toEqual([]);
  expect(done.failures).toEqual([]);
  expect(told(on.check({ repair: true }).mended)).toEqual([]);
  for (const mounter of [KERNEL, LAMINA]) {
    const after = await on.see(mounter);
    if (left.length === 0) expect(after.join()).not.toMatch(/^refused/);
    const same = expect([mounter.name, after]);
    if (changes[mounter.kind] === undefined) same.toEqual([mounter.name, before[mounter.kind]]);
    else same.not.toEqual([mounter.name, before[mounter.kind]]);
  }
}
