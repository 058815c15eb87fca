import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KERNEL, LAMINA } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';
import { Pair } from './batch.ts';
import { type Plan, anyCase } from './case.ts';
import { FOUND } from './found.ts';
import { VARIANTS } from './variant.ts';

// LAMINA_SEED tries other sequences; without it every run of the tests is the same. `npm run test:differential` does as
// many as it is told to, and makes smaller what it finds.
const SEED = Number(process.env['LAMINA_SEED'] ?? 20_261_124);
const SITES = 12;

const missing = firstMissing(KERNEL.missing, LAMINA.missing);

describe.skipIf(missing !== undefined)(titled('lamina and kernel overlayfs', missing), () => {
  let pair: Pair;

  beforeAll(async () => {
    pair = await Pair.open();
  });
  afterAll(() => pair.close());

  test.each(FOUND)('agree where they did not: $what', async ({ plan, one }) => {
    expect((await pair.run(plan, [one])).differences).toEqual([]);
  });

  const compared = Object.entries(VARIANTS).map(([variant, { alone }], index) => {
    const plan: Plan = { variant, layers: (index % 4) + 2, breaks: ['drop caches', 'swap'] };
    const reads = alone === undefined ? 'and read what the other wrote' : `but not what the other wrote: ${alone}`;
    return { title: `${variant}, ${reads}`, plan, seed: SEED + index };
  });

  test.each(compared)('do random operations alike, mounted $title', async ({ plan, seed }) => {
    const cases = fc.sample(anyCase(plan), { seed, numRuns: SITES });
    expect((await pair.run(plan, cases)).differences).toEqual([]);
  });
});
