import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KERNEL, LAMINA } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';
import { type Operation, type World, anyOperation, outcome } from './operations.ts';
import { Side, type Variant, trees } from './side.ts';

// LAMINA_SEED tries another sequence, LAMINA_RUNS more of them; without them every run of the tests is the same.
const SEED = Number(process.env['LAMINA_SEED'] ?? 20_261_124);
const RUNS = Number(process.env['LAMINA_RUNS'] ?? 10);
const OPERATIONS = 250;
// Directories to act in: every attempt needs a fresh one, those by which a failure is made smaller too.
const SITES = RUNS + 60;

/** An operation, and who does it. */
interface Deed {
  readonly operation: Operation;
  readonly by: 'root' | 'user';
}

const anyDeed: fc.Arbitrary<Deed> = fc
  .record({ operation: anyOperation, by: fc.constantFrom('root', 'root', 'user') })
  .map((deed) => Object.assign(deed, { toString: () => `${deed.by}: ${deed.operation.call}` }));

async function worldsOf(side: Side, site: number): Promise<Record<Deed['by'], World>> {
  const user = await side.ground.system({ uid: 1000, gid: 1000, groups: [] });
  return { root: side.world(site), user: side.world(site, user) };
}

const missing = firstMissing(KERNEL.missing, LAMINA.missing);

interface Compared {
  readonly name: string;
  readonly variant: Variant;
  /** Why kernel overlayfs does not read the uppers of it. */
  readonly alone?: string;
}

const COMPARED: readonly Compared[] = [
  { name: 'as it is', variant: {} },
  { name: 'with metacopy=on', variant: { options: ['metacopy=on'] } },
  {
    name: 'with whiteouts by name',
    variant: { environment: ['FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT=1'] },
    alone: 'overlayfs knows no whiteouts by name',
  },
];

describe.each(COMPARED)('lamina $name', (compared) => {
  describe.skipIf(missing !== undefined)(titled('and kernel overlayfs', missing), () => compareWith(compared));
});

function compareWith({ variant, alone }: Compared): void {
  let kernel: Side;
  let lamina: Side;
  let used = 0;

  beforeAll(async () => {
    [kernel, lamina] = [await Side.open(KERNEL, SITES), await Side.open(LAMINA, SITES, variant)];
  });
  afterAll(async () => {
    await kernel.close();
    await lamina.close();
  });

  /** Does all on both, each by root or by an ordinary user. */
  async function compare(deeds: readonly Deed[]): Promise<void> {
    // The smaller attempts after a failure end where no fresh directory is left.
    fc.pre(used < SITES);
    const site = used++;
    const worlds = [await worldsOf(kernel, site), await worldsOf(lamina, site)] as const;
    const done: string[] = [];
    for (const { operation, by } of deeds) {
      const [expected, actual] = [await outcome(worlds[0][by], operation), await outcome(worlds[1][by], operation)];
      done.push(`${by}: ${operation.call}`);
      expect([done, actual]).toEqual([done, expected]);
    }
    await kernel.ground.release();
    await lamina.ground.release();
    expect(await lamina.tree(site)).toEqual(await kernel.tree(site));
  }

  test(`answer alike in ${RUNS} runs of up to ${OPERATIONS} operations`, async () => {
    const deeds = fc.array(anyDeed, { minLength: OPERATIONS / 2, maxLength: OPERATIONS, size: 'max' });
    await fc.assert(fc.asyncProperty(deeds, compare), {
      seed: SEED,
      numRuns: RUNS,
      interruptAfterTimeLimit: 50_000,
      markInterruptAsFailure: true,
    });
  });

  const where = alone === undefined ? 'and in the other union' : `but not in the other union: ${alone}`;
  test(`what came of it is there after a remount, ${where}`, async () => {
    const sites = Array.from({ length: Math.min(used, SITES) }, (_, site) => site);
    const [theirs, ours] = [await trees(kernel, sites), await trees(lamina, sites)];
    for (const [mine, other] of [
      [KERNEL, LAMINA],
      [LAMINA, alone === undefined ? KERNEL : LAMINA],
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
}
