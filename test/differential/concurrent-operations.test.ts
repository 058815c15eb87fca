import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KERNEL, LAMINA } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';
import { anyOperation, outcome } from './operations.ts';
import { Side, trees } from './side.ts';

const SEED = Number(process.env['LAMINA_SEED'] ?? 20_261_124);
const ROUNDS = Number(process.env['LAMINA_RUNS'] ?? 4);
const AT_ONCE = 5;
const OPERATIONS = 400;
// Milliseconds, times the number of the round: another moment each.
const KILL_AFTER = 37;

// What no program may see of a union, whoever else changes it at the time.
const FORBIDDEN = ['EIO', 'ESTALE', 'ENOTCONN', 'EFAULT', 'ENOSYS', 'EBUSY', 'EPROTO', 'ECONNABORTED', 'EMFILE'];

const missing = firstMissing(KERNEL.missing, LAMINA.missing);

describe.skipIf(missing !== undefined)(titled('processes that change one directory at once', missing), () => {
  let side: Side;

  beforeEach(async () => {
    side = await Side.open(LAMINA, ROUNDS);
  });
  afterEach(() => side.close());

  /** One process's part: everything that it asks is answered, and with nothing forbidden while the daemon lives. */
  async function act(site: number, who: number, isAlive = () => true): Promise<void> {
    const system = await side.ground.system(undefined, who);
    const world = side.world(site, system);
    const [operations = []] = fc.sample(fc.array(anyOperation, { minLength: OPERATIONS, maxLength: OPERATIONS }), {
      seed: SEED + 1_000 * site + who,
      numRuns: 1,
    });
    for (const operation of operations) {
      const answer = await outcome(world, operation);
      if (!isAlive()) return;
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

  test('leave an upper that mounts and reads alike in both, whenever the daemon is killed', async () => {
    for (const site of Array.from({ length: ROUNDS }, (_, index) => index)) {
      let alive = true;
      const acting = Array.from({ length: AT_ONCE }, (_, who) => act(site, who, () => alive));
      await sleep(KILL_AFTER * (site + 1));
      alive = false;
      await side.kill();
      await Promise.all(acting);
      await side.ground.release();
      await side.mount(LAMINA);
    }
    const sites = Array.from({ length: ROUNDS }, (_, site) => site);
    const ours = await trees(side, sites);
    await side.unmount();
    await side.mount(KERNEL);
    expect(await trees(side, sites)).toEqual(ours);
    expect(ours.flat().filter((line) => line.startsWith('CallError'))).toEqual([]);
    const left = await side.system.names(`${side.ground.directory}/work/work`);
    expect(left.filter((name) => !name.startsWith('#'))).toEqual([]);
  });
});
