import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FsckReport, type ProblemKind } from '../../fs/index.ts';
import { fsck } from '../../fs/fsck/index.ts';
import { toBytes } from '../../fs/sys/bytes.ts';
import { SKELETON, anyStep } from '../differential/arbitrary.ts';
import { Side } from '../differential/side.ts';
import { type Step } from '../differential/step.ts';
import { type Variant } from '../differential/variant.ts';
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
  readonly variant?: Partial<Variant>;
  /** What it leaves behind in ordinary use, and nobody sees. */
  readonly leaves?: readonly ProblemKind[];
}

const WRITERS: readonly Writer[] = [
  { name: 'kernel overlayfs with everything on', mounter: KERNEL },
  {
    name: 'kernel overlayfs with nfs_export=on',
    mounter: KERNEL,
    variant: { kernel: ['metacopy=off', 'nfs_export=on'] },
  },
  { name: 'lamina', mounter: LAMINA },
  { name: 'lamina with metacopy=on', mounter: LAMINA, variant: { lamina: ['metacopy=on'] } },
  { name: 'lamina with userxattr', mounter: LAMINA, variant: { lamina: ['userxattr', 'metacopy=off'] } },
  {
    name: 'lamina with whiteouts by name',
    mounter: LAMINA,
    variant: { environment: ['FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT=1'] },
  },
  { name: 'lamina with xattr_permissions=2', mounter: LAMINA, variant: { lamina: ['xattr_permissions=2'] } },
  { name: 'lamina with uuid=off', mounter: LAMINA, variant: { lamina: ['uuid=off'] } },
  { name: 'fuse-overlayfs', mounter: FUSE_OVERLAYFS, leaves: ['whiteout-orphan', 'temporary'] },
];

const LOWERS = ['l0', 'l1'];
const WHITEOUT: Step = { by: 'root', call: 'mknod', with: ['gone', 0o020000, 0] };
const HIDDEN: Step = { by: 'root', call: 'mkdir', with: ['gone', 0o755] };

/** A union over two layers of the same files, one with a whiteout, in sites to act in. */
async function open(mounter: Mounter, sites: number): Promise<Side> {
  const side = await Side.open(mounter);
  await side.begin('union');
  for (const [index, name] of LOWERS.entries()) {
    const root = `${side.ground.directory}/${name}`;
    const steps = [...SKELETON, index === 0 ? WHITEOUT : HIDDEN];
    const programs = Array.from({ length: sites }, (_, site) => ({ site: String(site), steps }));
    await side.ground.must(['mkdir', root]);
    await side.make(programs, { root, marks: '', isReference: false });
  }
  return side;
}

function mount(side: Side, mounter: Mounter, variant: Partial<Variant> = {}): Promise<void> {
  const lowers = LOWERS.map((name) => `${side.ground.directory}/${name}`);
  return side.mount(mounter, lowers, {
    kernel: [],
    lamina: [],
    marks: 'trusted.overlay.',
    breaksLinks: false,
    ...variant,
  });
}

function check(side: Side): FsckReport {
  const at = (name: string) => toBytes(`${side.ground.directory}/${name}`);
  const overlay = { upper: at('union/upper'), work: at('union/work'), lowers: LOWERS.map(at) };
  return fsck({ overlay, allLayers: true });
}

/** Random operations of the differential tests. */
async function act(side: Side, site: number): Promise<void> {
  const steps = fc.sample(anyStep, { seed: SEED + site, numRuns: OPERATIONS });
  await side.run([{ site: String(site), steps }]);
}

for (const { name, mounter, variant, leaves = [] } of WRITERS) {
  describe.skipIf(mounter.missing !== undefined)(titled(`an upper of ${name}`, mounter.missing), () => {
    let side: Side;
    beforeAll(async () => {
      side = await open(mounter, SITES);
      await mount(side, mounter, variant);
    });
    afterAll(() => side.close());

    test('is clean, whatever was done in it', async () => {
      for (let site = 0; site < SITES; site++) await act(side, site);
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
    const side = await open(LAMINA, ROUNDS);
    try {
      await mount(side, LAMINA);
      for (let round = 0; round < ROUNDS; round++) {
        const acting = act(side, round);
        await sleep(KILL_AFTER * (round + 1));
        await side.kill();
        await acting;
        await side.release();
        const { left, failures } = check(side);
        const damage = left.filter(({ harmless }) => !harmless);
        expect([told(damage), failures]).toEqual([[], []]);
        await mount(side, LAMINA);
      }
    } finally {
      await side.close();
    }
  });
});
