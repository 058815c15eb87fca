import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KERNEL, LAMINA, type Mounter } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';
import { anyStep, plainLayer } from './arbitrary.ts';
import { Side } from './side.ts';
import { type Step } from './step.ts';
import { variantOf } from './variant.ts';

const SEED = Number(process.env['LAMINA_SEED'] ?? 20_261_124);
const SITES = 4;
const AT_ONCE = 5;
const STEPS = 400;
// Milliseconds, times the number of the round: another moment each.
const KILL_AFTER = 37;
const LAYERS = ['layer0', 'layer1'];
const VARIANT = variantOf('all');

// What no program may see of a union, whoever else changes it at the time.
const FORBIDDEN = ['EIO', 'ESTALE', 'ENOTCONN', 'EFAULT', 'ENOSYS', 'EBUSY', 'EPROTO', 'ECONNABORTED', 'EMFILE'];
// What is left of a mount whose daemon has died.
const DEAD = ['ENOTCONN', 'ECONNABORTED'];
// Behind the end that another process gives a file there is nothing to be mapped: an EIO that is right.
const MAPPED = new Set(['readMapped', 'mapRead', 'mapWrite']);

const missing = firstMissing(KERNEL.missing, LAMINA.missing);
const sites = Array.from({ length: SITES }, (_, site) => String(site));

/** To rename `a/..` is an EBUSY that is right. */
function endsInDots(step: Step): boolean {
  return step.with.some((word) => typeof word === 'string' && /\/\.\.?$/.test(word));
}

/** Steps that every run of the tests does alike. */
function sample(arbitrary: fc.Arbitrary<Step[]>, salt: number): Step[] {
  return fc.sample(arbitrary, { seed: SEED + salt, numRuns: 1 }).flat();
}

describe.skipIf(missing !== undefined)(titled('processes that change one directory at once', missing), () => {
  let side: Side;

  async function mount(mounter: Mounter): Promise<void> {
    await side.mount(
      mounter,
      LAYERS.map((name) => `${side.ground.directory}/${name}`),
      VARIANT,
    );
  }

  beforeEach(async () => {
    side = await Side.open(LAMINA, AT_ONCE);
    await side.begin('union');
    for (const [index, name] of LAYERS.entries()) {
      const place = { root: `${side.ground.directory}/${name}`, marks: VARIANT.marks, isReference: false };
      await side.ground.must(['mkdir', place.root]);
      await side.make(
        sites.map((site) => ({ site, steps: sample(plainLayer, 100 * index + Number(site)) })),
        place,
      );
    }
    await mount(LAMINA);
  });
  afterEach(() => side.close());

  /** One process's part in a site; answers what came of each step. */
  async function act(site: string, who: number): Promise<string[]> {
    const steps = sample(fc.array(anyStep, { minLength: STEPS, maxLength: STEPS }), 1_000 * Number(site) + who);
    const program = { site, steps: steps.filter((step) => !MAPPED.has(step.call) && !endsInDots(step)) };
    return (await side.run([program], side.place, who)).flat();
  }

  function actAtOnce(site: string): Promise<string[][]> {
    return Promise.all(Array.from({ length: AT_ONCE }, (_, who) => act(site, who)));
  }

  async function trees(): Promise<string[][]> {
    return (await side.trees(sites)).map((tree) => tree.map(({ path, what }) => `${path} ${what}`));
  }

  test('leave what is on disk, as a remount and kernel overlayfs show it', async () => {
    for (const site of sites) {
      for (const outcomes of await actAtOnce(site))
        expect(outcomes.filter((outcome) => FORBIDDEN.includes(outcome))).toEqual([]);
    }
    const live = await trees();
    for (const mounter of [LAMINA, KERNEL]) {
      await side.unmount();
      await mount(mounter);
      expect([mounter.name, await trees()]).toEqual([mounter.name, live]);
    }
  });

  test('leave an upper that mounts and reads alike in both, whenever the daemon is killed', async () => {
    for (const [round, site] of sites.entries()) {
      const acting = actAtOnce(site);
      await sleep(KILL_AFTER * (round + 1));
      await side.kill();
      for (const outcomes of await acting) {
        const end = outcomes.findIndex((outcome) => DEAD.includes(outcome));
        const alive = end < 0 ? outcomes : outcomes.slice(0, end);
        expect(alive.filter((outcome) => FORBIDDEN.includes(outcome))).toEqual([]);
      }
      await side.release();
      await mount(LAMINA);
    }
    const ours = await trees();
    await side.unmount();
    await mount(KERNEL);
    expect(await trees()).toEqual(ours);
    const left = await side.ground.must(['ls', '-A', `${side.place.root}/../work/work`]);
    expect(left.split('\n').filter((name) => name !== '' && !name.startsWith('#'))).toEqual([]);
  });
});
