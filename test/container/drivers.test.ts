import { chmodSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Layer } from '../../runner/demo/image.ts';
import { DRIVERS } from '../../runner/container/driver/choice.ts';
import { snapshot, run, temporary } from '../image/ground.ts';
import {
  firstMissing,
  has,
  hasFuseDevice,
  hasKernelOverlay,
  hasUserNamespaces,
  isRoot,
  type Missing,
  titled,
} from '../support/requirements.ts';
import { Lamina, makeUser, recipe, removeUser, wrote } from './lamina.ts';

const LONG = { timeout: 90_000 };

const FILES: Layer = {
  title: 'files',
  entries: [
    { type: 'directory', name: 'data' },
    { type: 'file', name: 'data/kept', content: 'kept\n' },
    { type: 'file', name: 'data/gone', content: 'gone\n' },
    { type: 'file', name: 'data/written', content: 'old\n' },
    { type: 'file', name: 'data/mode', content: 'mode\n' },
    { type: 'file', name: 'data/deep/a', content: 'a\n' },
    { type: 'file', name: 'data/deep/b', content: 'b\n' },
    { type: 'file', name: 'data/replaced/x', content: 'x\n' },
    { type: 'file', name: 'data/one', content: 'same size 1\n' },
    { type: 'file', name: 'data/two', content: 'same size 2\n' },
  ],
};

// Everything that an upper has a form for, in two runs.
const FIRST = [
  'cd /data',
  'rm gone',
  'echo new >written',
  'chmod 600 mode',
  'mkdir -p moved/to && mv deep moved/to/deep',
  'rm -r replaced && mkdir replaced && echo y >replaced/y',
  'mv one three && mv two one && mv three two',
  'ln kept linked && ln -s kept symlink',
  'mkdir empty',
].join(' && ');
const SECOND = 'cd /data && rm moved/to/deep/a && echo more >>moved/to/deep/b && rm -r replaced && echo z >gone';

const noPlace = firstMissing(isRoot(), hasFuseDevice());

describe.skipIf(noPlace)(titled('run --driver', noPlace), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny', [FILES]));
  });
  afterAll(() => lamina.close());
  suite(() => lamina, hasKernelOverlay(), 'on /dev/');

  const noOverlay = hasKernelOverlay();

  test.skipIf(noOverlay)(titled('auto takes kernel overlayfs where it works', noOverlay), LONG, async () => {
    const { stdout } = await lamina.call(['run', '--rm', '--driver', 'auto', 'tiny', 'cat', '/proc/self/mountinfo']);
    expect(stdout.split('\n')[0]).toContain(' overlay ');
  });

  test('what is not a driver, or does not go with a backend, is an error', async () => {
    const env = { LAMINA_DRIVER: 'aufs' };
    const unknown = await lamina.call(['run', 'tiny', 'true'], { env });
    expect(unknown).toMatchObject({ code: 125, stderr: expect.stringContaining('LAMINA_DRIVER is "aufs"') as string });
    const both = await lamina.call(['run', '--driver', 'vfs', '--backend', 'device', 'tiny', 'true']);
    expect(both).toMatchObject({ code: 125, stderr: expect.stringContaining('--backend device') as string });
  });

  test('vfs: a killed run leaves a copy, whose changes are told, and which is gone on from', LONG, async () => {
    const child = lamina.start([
      'run',
      '--name',
      'killed',
      '--driver',
      'vfs',
      'tiny',
      'sh',
      '-c',
      `${FIRST}; echo up; sleep 60`,
    ]);
    await wrote(child, 'up');
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await ended;
    const diff = await must(lamina, 'diff', 'killed');
    expect(diff).toContain('D /data/gone');
    expect(diff).not.toContain('/data/kept');
    await must(lamina, 'rm', '-f', 'killed');
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(lamina.root);
  });
});

const noUser = firstMissing(noPlace, hasUserNamespaces(), has('useradd'), has('newuidmap'));

describe.skipIf(noUser)(titled('run --driver of an ordinary user', noUser), () => {
  const name = 'lamina-drivers';
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina(makeUser(name, { start: 900_000, count: 65_536 }));
    await lamina.load(recipe('tiny', [FILES]));
  });
  afterAll(async () => {
    await lamina.close();
    removeUser(name);
  });
  suite(() => lamina, hasKernelOverlay(), 'in a user namespace');
});

async function must(lamina: Lamina, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await lamina.call(args);
  if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** What a container changed, as told by each command that tells of it. */
interface Told {
  readonly diff: string;
  readonly exported: readonly string[];
  readonly committed: string;
}

function suite(place: () => Lamina, noOverlay: Missing, where: string): void {
  const told = new Map<string, Told>();

  async function tell(driver: string): Promise<Told> {
    const lamina = place();
    const container = `c-${driver}`;
    // By a supervisor of its own, and then in the foreground.
    await must(lamina, 'run', '-d', '--name', container, '--driver', driver, 'tiny', 'sh', '-c', FIRST);
    expect(await must(lamina, 'wait', container)).toBe('0\n');
    // A file that got a second name was copied up, or is as it was: to that the drivers come each in its way.
    const diff = (await must(lamina, 'diff', container)).replace('C /data/kept\n', '');
    const directory = temporary();
    chmodSync(directory, 0o777);
    const archive = join(directory, 'x.tar');
    await must(lamina, 'export', '-o', archive, container);
    const stdout = await must(lamina, 'commit', '-q', container, `image-${driver}`);
    expect(stdout).toMatch(/sha256:/);
    const script = `cd /data && ${SECOND} && find . | sort; cat moved/to/deep/b one two written; stat -c %h%a kept mode`;
    const again = await must(lamina, 'run', '--rm', '--driver', driver, `image-${driver}`, 'sh', '-c', script);
    await must(lamina, 'rm', container);
    return { diff, exported: listed(archive), committed: again };
  }

  function listed(archive: string): string[] {
    const directory = temporary();
    run('tar', '-xpf', archive, '-C', directory, 'data');
    return snapshot(directory, false);
  }

  for (const driver of DRIVERS) {
    const missing = driver === 'overlay' ? noOverlay : undefined;
    test.skipIf(missing)(titled(`${driver} ${where} keeps what the union keeps`, missing), LONG, async () => {
      told.set(driver, await tell(driver));
      expect(told.get(driver)).toEqual(told.get('union'));
      const { diff } = told.get(driver) ?? { diff: '' };
      for (const line of [
        'D /data/gone',
        'C /data/written',
        'C /data/mode',
        'A /data/moved/to/deep/a',
        'D /data/deep',
      ]) {
        expect(diff).toContain(line);
      }
      expect(readdirSync(join(place().root, 'containers')).filter((entry) => /^[0-9a-f]/.test(entry))).toEqual([]);
    });
  }
}
