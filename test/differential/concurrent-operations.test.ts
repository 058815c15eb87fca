import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KERNEL, LAMINA } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';
import { anyOperation, outcome } from './operations.ts';
import { Side, trees } from './side.ts';

const SEED = Number(process.env['LAMINA_SEED'] ?? 20_261_124);
const ROUNDS = Number(process.env['LAMINA_RUNS'] ?? 4);
const AT_ONCE = 5;
const OPERATIONS = 400;

// What no program may see of a union, whoever else changes it at the time.
const FORBIDDEN = ['EIO', 'ESTALE', 'ENOTCONN', 'EFAULT', 'ENOSYS', 'EBUSY', 'EPROTO', 'ECONNABORTED', 'EMFILE'];

const missing = firstMissing(KERNEL.missing, LAMINA.missing);

describe.skipIf(missing !== undefined)(titled('processes that change one directory at once', missing), () => {
  let side: Side;

  beforeAll(async () => {
    side = await Side.open(LAMINA, ROUNDS);
  });
  afterAll(() => side.close());

  /** One process's part: everything that it asks is answered, and with nothing forbidden. */
  async function act(site: number, who: number): Promise<void> {
    const system = await side.ground.system({ uid: 0, gid: 0, groups: [who] });
    const world = side.world(site, system);
    const [operations = []] = fc.sample(fc.array(anyOperation, { minLength: OPERATIONS, maxLength: OPERATIONS }), {
      seed: SEED + 1_000 * site + who,
      numRuns: 1,
    });
    for (const operation of operations) {
      const answer = await outcome(world, operation);
      expect(FORBIDDEN, operation.call).not.toContain(answer);
    }
    await system.release();
  }

  test('leave what is on disk, as a remount and kernel overlayfs show it', async () => {
    const sites = Array.from({ length: ROUNDS }, (_, site) => site);
    for (const site of sites) await Promise.all(Array.from({ length: AT_ONCE }, (_, who) => act(site, who)));
    const live = await trees(side, sites);
    for (const mounter of [LAMINA, KERNEL]) {
      await side.unmount();
      await side.mount(mounter);
      expect([mounter.name, await trees(side, sites)]).toEqual([mounter.name, live]);
    }
  });
});
