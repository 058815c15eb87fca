import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Ground } from '../support/ground.ts';
import { KERNEL, LAMINA, type Layers, type Mounted, type Mounter } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';
import { type System } from '../support/system.ts';
import { type Tree, directory, file, makeTree, snapshot, symlink, whiteout } from '../support/tree.ts';
import { type Operation, type World, anyOperation, outcome } from './operations.ts';

// LAMINA_SEED tries another sequence, LAMINA_RUNS more of them; without them every run of the tests is the same.
const SEED = Number(process.env['LAMINA_SEED'] ?? 20_261_124);
const RUNS = Number(process.env['LAMINA_RUNS'] ?? 15);
const OPERATIONS = 250;
// Directories to act in: every attempt needs a fresh one, those by which a failure is made smaller too.
const SITES = RUNS + 120;

const TOP: Tree = {
  a: { a: 'top a', b: { c: 'c', d: file('d', { mode: 0o600, xattrs: { 'user.one': 'below' } }) } },
  c: directory({ a: 'only here' }, { xattrs: { 'trusted.overlay.opaque': 'y' } }),
  d: 'file over directory',
  e: symlink('a'),
};
const BOTTOM: Tree = {
  a: { a: 'bottom a', b: { e: 'e', a: {} }, c: 'bottom c' },
  b: file('b', { mode: 0o4755 }),
  c: { b: 'hidden' },
  d: { a: 'hidden' },
};

/** A union in a ground of its own. */
class Side {
  readonly mounter: Mounter;
  readonly ground: Ground;
  readonly system: System;
  #mounted: Mounted | undefined;

  private constructor(mounter: Mounter, ground: Ground, system: System) {
    this.mounter = mounter;
    this.ground = ground;
    this.system = system;
  }

  static async open(mounter: Mounter): Promise<Side> {
    const ground = await Ground.open('root');
    const side = new Side(mounter, ground, await ground.system());
    await side.#prepare();
    await side.mount(mounter);
    return side;
  }

  async #prepare(): Promise<void> {
    const { directory: base } = this.ground;
    for (const name of ['l0', 'l1', 'upper', 'work', 'merged']) await this.system.mkdir(`${base}/${name}`);
    for (let site = 0; site < SITES; site++) {
      await makeTree(this.system, `${base}/l0/${site}`, { ...TOP, gone: whiteout });
      await makeTree(this.system, `${base}/l1/${site}`, { ...BOTTOM, gone: 'hidden' });
    }
  }

  /** Mounts the layers by this union's own mounter or by the other's. */
  async mount(mounter: Mounter): Promise<void> {
    const layers: Layers = {
      lowers: ['l0', 'l1'],
      upper: 'upper',
      work: 'work',
      cwd: this.ground.directory,
    };
    this.#mounted = await mounter.mount(this.ground, layers, `${this.ground.directory}/merged`);
  }

  async unmount(): Promise<void> {
    const mounted = this.#mounted;
    this.#mounted = undefined;
    await mounted?.unmount();
  }

  world(site: number): World {
    const base = `${this.ground.directory}/merged/${site}`;
    return { system: this.system, at: (path) => (path === '' ? base : `${base}/${path}`), held: new Map() };
  }

  /** The tree of a site, without the times that two runs cannot share. */
  tree(site: number): Promise<string[]> {
    return snapshot(this.system, `${this.ground.directory}/merged/${site}`, { times: false });
  }

  async close(): Promise<void> {
    const daemon = this.#mounted?.daemon;
    try {
      await this.ground.release();
      await this.unmount();
    } finally {
      daemon?.kill('SIGKILL');
      await this.ground.close();
    }
  }
}

const missing = firstMissing(KERNEL.missing, LAMINA.missing);

describe.skipIf(missing !== undefined)(titled('random operations', missing), () => {
  let kernel: Side;
  let lamina: Side;
  let used = 0;

  beforeAll(async () => {
    [kernel, lamina] = [await Side.open(KERNEL), await Side.open(LAMINA)];
  });
  afterAll(async () => {
    await kernel.close();
    await lamina.close();
  });

  /** Does all on both; answers the site. */
  async function compare(operations: readonly Operation[]): Promise<number> {
    const site = used++;
    const [reference, ours] = [kernel.world(site), lamina.world(site)];
    const done: string[] = [];
    for (const operation of operations) {
      const [expected, actual] = [await outcome(reference, operation), await outcome(ours, operation)];
      done.push(operation.call);
      expect([done, actual]).toEqual([done, expected]);
    }
    for (const world of [reference, ours]) for (const fd of world.held.values()) await world.system.close(fd);
    expect(await lamina.tree(site)).toEqual(await kernel.tree(site));
    return site;
  }

  test(`lamina answers as kernel overlayfs does, in ${RUNS} runs of up to ${OPERATIONS} operations`, async () => {
    const operations = fc.array(
      anyOperation.map((operation) => Object.assign(operation, { toString: () => operation.call })),
      { minLength: OPERATIONS / 2, maxLength: OPERATIONS, size: 'max' },
    );
    const property = fc.asyncProperty(operations, async (all) => {
      await compare(all);
    });
    await fc.assert(property, {
      seed: SEED,
      numRuns: RUNS,
      interruptAfterTimeLimit: 50_000,
      markInterruptAsFailure: true,
    });
  });

  test('what came of it is there after a remount, and in the other union', async () => {
    const sites = Array.from({ length: Math.min(used, SITES) }, (_, site) => site);
    const [theirs, ours] = [await trees(kernel, sites), await trees(lamina, sites)];
    for (const [mine, other] of [
      [KERNEL, LAMINA],
      [LAMINA, KERNEL],
    ] as const) {
      await kernel.unmount();
      await lamina.unmount();
      await kernel.mount(mine);
      await lamina.mount(other);
      for (const [side, mounter, expected] of [
        [kernel, mine, theirs],
        [lamina, other, ours],
      ] as const) {
        const written = `written by ${side.mounter.name}, read by ${mounter.name}`;
        expect([written, await trees(side, sites)]).toEqual([written, expected]);
      }
    }
  });
});

/** The trees of sites, or why one cannot be read. */
async function trees(side: Side, sites: readonly number[]): Promise<string[][]> {
  const all: string[][] = [];
  for (const site of sites) all.push(await side.tree(site).catch((error: unknown) => [String(error)]));
  return all;
}
