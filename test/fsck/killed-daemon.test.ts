import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Ground } from '../support/ground.ts';
import { KERNEL, LAMINA } from '../support/mounters.ts';
import { firstMissing, has, titled } from '../support/requirements.ts';
import { directory } from '../support/tree.ts';
import { Site, told } from './site.ts';

// The calls that change a layer while names of lower files move about.
const CHANGES = ['setxattr', 'renameat2', 'linkat'];
const MOVES = 'mkdir n && mv d n/d && ln f n/f && touch e/own && mv f n/g';

const missing = firstMissing(KERNEL.missing, LAMINA.missing, has('strace'));

describe.skipIf(missing !== undefined)(titled('a daemon that is killed before one of its changes', missing), () => {
  let ground: Ground;
  beforeAll(async () => void (ground = await Ground.open('root')));
  afterAll(() => ground.close());

  /** Has the daemon killed at the `at`th time that it makes this change. */
  async function trap(daemon: ChildProcess, change: string, at: number): Promise<ChildProcess> {
    const filter = ['-e', `trace=${change}`, '-e', `inject=${change}:signal=SIGKILL:when=${at}`];
    const tracer = spawn('strace', ['-f', '-o', '/dev/null', ...filter, '-p', String(daemon.pid)]);
    await once(tracer.stderr, 'data');
    return tracer;
  }

  /** @returns whether the daemon lived. */
  async function move(site: Site, change: string, at: number): Promise<boolean> {
    const layers = { lowers: ['top', 'bottom'], upper: 'upper', work: 'work', cwd: site.directory };
    const mounted = await LAMINA.mount(ground, layers, site.at('merged'));
    const { daemon } = mounted;
    if (daemon === undefined) throw new Error('no daemon to be killed');
    const tracer = await trap(daemon, change, at);
    const { code } = await ground.run(['sh', '-c', MOVES], site.at('merged'));
    await ground.release();
    if (code === 0) {
      await mounted.unmount();
    } else {
      if (daemon.exitCode === null && daemon.signalCode === null) await once(daemon, 'exit');
      await ground.must(['umount', '-l', site.at('merged')]);
    }
    if (tracer.exitCode === null && tracer.signalCode === null) await once(tracer, 'exit');
    return code === 0;
  }

  /** Where kernel overlayfs lists another number than it stats: below a directory that has not been marked. */
  async function misnumbered(site: Site): Promise<string[]> {
    const system = await ground.system();
    const wrong: string[] = [];
    for (const where of ['merged', 'merged/n', 'merged/e'].map(site.at)) {
      const listed = await system.list(where).catch(() => []);
      for (const { name, ino } of listed) {
        if (!/^\.\.?$/.test(name) && (await system.stat(`${where}/${name}`)).ino !== ino)
          wrong.push(`${where}/${name}`);
      }
    }
    return wrong;
  }

  async function expectMarked(site: Site, where: string): Promise<void> {
    // What was prepared aside goes with the next mount.
    const left = site.check().left.filter(({ kind }) => kind !== 'temporary');
    const wrong = await site.within(KERNEL, () => misnumbered(site), { options: ['index=off'] });
    expect({ where, left: told(left), wrong }).toEqual({ where, left: [], wrong: [] });
  }

  test.each(CHANGES)('leaves each directory marked whose names have numbers of lower layers: %s', async (change) => {
    let lived = false;
    let at = 0;
    while (!lived) {
      const own = directory({ own: 'own' });
      const site = await Site.make(ground, {}, {}, { d: own, e: own, f: 'f' });
      lived = await move(site, change, ++at);
      await expectMarked(site, `${change} ${at}`);
    }
    expect(at).toBeGreaterThan(1);
  });
});
