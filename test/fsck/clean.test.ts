import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FsckReport, type ProblemKind } from '../../fs/index.ts';
import { fsck } from '../../fs/fsck/index.ts';
import { toBytes } from '../../fs/sys/bytes.ts';
import { anyOperation, outcome } from '../differential/operations.ts';
import { Side, type Variant } from '../differential/side.ts';
import { FUSE_OVERLAYFS, KERNEL, LAMINA, type Mounter } from '../support/mounters.ts';
import { titled } from '../support/requirements.ts';
import { told } from './site.ts';

const SEED = Number(process.env['LAMINA_SEED'] ?? 20_261_124);
const SITES = 6;
const OPERATIONS = 200;
const ROUNDS = 5;
// Milliseconds, times the number of the round: another moment each.
const KILL_AFTER = 41;

interface Writer {
  readonly name: string;
  readonly mounter: Mounter;
  readonly variant?: Variant;
  /** What it leaves behind in ordinary use, and nobody sees. */
  readonly leaves?: readonly ProblemKind[];
}

const WRITERS: readonly Writer[] = [
  { name: 'kernel overlayfs with everything on', mounter: KERNEL },
  {
    name: 'kernel overlayfs with nfs_export=on',
    mounter: KERNEL,
    variant: { options: ['metacopy=off', 'nfs_export=on'] },
  },
  { name: 'lamina', mounter: LAMINA },
  { name: 'lamina with metacopy=on', mounter: LAMINA, variant: { options: ['metacopy=on'] } },
  { name: 'lamina with userxattr', mounter: LAMINA, variant: { options: ['userxattr', 'metacopy=off'] } },
  {
    name: 'lamina with whiteouts by name',
    mounter: LAMINA,
    variant: { environment: ['FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT=1'] },
  },
  { name: 'lamina with xattr_permissions=2', mounter: LAMINA, variant: { options: ['xattr_permissions=2'] } },
  { name: 'lamina with uuid=off', mounter: LAMINA, variant: { options: ['uuid=off'] } },
  { name: 'fuse-overlayfs', mounter: FUSE_OVERLAYFS, leaves: ['whiteout-orphan', 'temporary'] },
];

function check(side: Side): FsckReport {
  const at = (name: string) => toBytes(`${side.ground.directory}/${name}`);
  const overlay = { upper: at('upper'), work: at('work'), lowers: [at('l0'), at('l1')] };
  return fsck({ overlay, allLayers: true });
}

/** Random operations of the differential tests. */
async function act(side: Side, site: number, isAlive = () => true): Promise<void> {
  const operations = fc.sample(anyOperation, { seed: SEED + site, numRuns: OPERATIONS });
  const world = side.world(site);
  for (const operation of operations) {
    await outcome(world, operation);
    if (!isAlive()) return;
  }
}

for (const { name, mounter, variant, leaves = [] } of WRITERS) {
  describe.skipIf(mounter.missing !== undefined)(titled(`an upper of ${name}`, mounter.missing), () => {
    let side: Side;
    beforeAll(async () => void (side = await Side.open(mounter, SITES, variant)));
    afterAll(() => side.close());

    test('is clean, whatever was done in it', async () => {
      for (let site = 0; site < SITES; site++) await act(side, site);
      await side.ground.release();
      await side.unmount();
      const { left, failures, directories } = check(side);
      const unexpected = left.filter(({ kind }) => !leaves.includes(kind));
      expect([told(unexpected), failures]).toEqual([[], []]);
      expect(directories).toBeGreaterThan(SITES);
    });
  });
}

describe.skipIf(LAMINA.missing !== undefined)(titled('an upper of lamina', LAMINA.missing), () => {
  test('has nothing but left-overs, whenever the daemon is killed', async () => {
    const side = await Side.open(LAMINA, ROUNDS);
    try {
      for (let round = 0; round < ROUNDS; round++) {
        let alive = true;
        const acting = act(side, round, () => alive);
        await sleep(KILL_AFTER * (round + 1));
        alive = false;
        await side.kill();
        await acting;
        await side.ground.release();
        const { left, failures } = check(side);
        const damage = left.filter(({ harmless }) => !harmless);
        expect([told(damage), failures]).toEqual([[], []]);
        await side.mount(LAMINA);
      }
    } finally {
      await side.close();
    }
  });
});
