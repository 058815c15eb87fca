import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import {
  firstMissing,
  has,
  hasFuseDevice,
  hasKernelOverlay,
  hasRootlessKernelOverlay,
  isRoot,
  titled,
} from '../support/requirements.ts';
import { type Case, type Ground } from './podman-table/case.ts';
import { CASES } from './podman-table/cases.ts';
import { Sides } from './podman-table/side.ts';
import { judge } from './podman-table/verdict.ts';

// LAMINA_CASES=all runs the whole table, which takes many minutes: else so many steps of cases that LAMINA_SEED chooses.
const SEED = process.env['LAMINA_SEED'] ?? '20261124';
const STEPS = 6;
const LONG = { timeout: 600_000 };

function sample(): readonly Case[] {
  if (process.env['LAMINA_CASES'] === 'all') return CASES;
  const rank = ({ name }: Case): string => createHash('sha256').update(`${SEED} ${name}`).digest('hex');
  let left = STEPS;
  return CASES.toSorted((one, other) => (rank(one) < rank(other) ? -1 : 1)).filter(({ steps }) => {
    const fits = steps.length <= left;
    if (fits) left -= steps.length;
    return fits;
  });
}

const common = firstMissing(isRoot(), hasFuseDevice(), hasKernelOverlay(), ...['podman', 'runc', 'script'].map(has));
const forUsers = firstMissing(
  common,
  hasRootlessKernelOverlay(),
  ...['useradd', 'setpriv', 'newuidmap'].map((program) => has(program)),
);
const grounds: readonly (readonly [ground: Ground, missing: string | undefined])[] = [
  ['root', common],
  ['user', forUsers],
];
const chosen = sample();

for (const [ground, missing] of grounds) {
  describe.skipIf(missing)(titled(`podman and lamina side by side, as ${ground}`, missing), () => {
    let sides: Sides;

    beforeAll(async () => {
      sides = new Sides(ground);
      await sides.load(chosen);
    });

    afterAll(() => sides.close());

    test.each(chosen.map((one) => [one.name, one] as const))('%s', LONG, async (_, one) => {
      const { found, listed } = await judge(sides, ground, one);
      // What differs is what the table says that differs, and still does.
      expect(found).toEqual(listed);
    });
  });
}
