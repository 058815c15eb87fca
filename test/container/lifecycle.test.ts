import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Layer } from '../../runner/demo/image.ts';
import { firstMissing, has, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, ended, extraProgram, processesOf, recipe, wrote } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());

const FILES: Layer = {
  title: 'files',
  entries: [
    { type: 'file', name: 'data/a', content: 'a\n' },
    { type: 'file', name: 'data/b', content: 'b\n' },
    { type: 'file', name: 'data/deep/c', content: 'c\n' },
    { type: 'file', name: 'data/deep/d', content: 'd\n' },
  ],
};

// A loop of the shell's own, so that its traps run at once.
const WAIT = 'while :; do sleep 0.1; done';

// For what takes as long as a container's start.
const LONG = { timeout: 20_000 };

describe.skipIf(missing)(titled('containers of root, one after another and together', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny', [FILES]));
  });

  afterAll(() => lamina.close());

  const mounts = (): string => readFileSync('/proc/self/mountinfo', 'utf8');
  const containers = (): string[] =>
    readdirSync(join(lamina.root, 'containers')).filter((name) => !name.startsWith('.'));

  test('diff shows what was added, changed and deleted, running or not', async () => {
    const script = [
      'echo more >> /data/a',
      'rm /data/b',
      'rm -r /data/deep',
      'mkdir -p /data/deep/new',
      'mkdir /own',
      'touch /own/x /gone',
      'rm /gone',
      'ln -s x /own/link',
      'chmod 700 /srv',
      'echo ready',
    ].join('; ');
    const expected = [
      'C /data',
      'C /data/a',
      'D /data/b',
      'C /data/deep',
      'D /data/deep/c',
      'D /data/deep/d',
      'A /data/deep/new',
      'A /own',
      'A /own/link',
      'A /own/x',
      'C /srv',
      '',
    ];
    const child = lamina.start([
      'run',
      '--name',
      'changes',
      'tiny',
      'sh',
      '-c',
      `${script}; trap 'exit 0' TERM; ${WAIT}`,
    ]);
    await wrote(child, 'ready');
    expect((await lamina.call(['diff', 'changes'])).stdout.split('\n')).toEqual(expected);
    child.kill('SIGTERM');
    expect((await ended(child)).code).toBe(0);
    expect((await lamina.call(['diff', 'changes'])).stdout.split('\n')).toEqual(expected);
  });

  test('ps shows what runs, and with -a what has ended', async () => {
    const child = lamina.start(['run', '--name', 'up', 'tiny', 'sh', '-c', `trap 'exit 5' TERM; echo ready; ${WAIT}`]);
    await wrote(child, 'ready');
    const row = (text: string): string | undefined => text.split('\n').find((line) => line.endsWith('up'));
    expect((await lamina.call(['ps'])).stdout.split('\n')[0]).toMatch(
      /^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES$/,
    );
    // State is written once the stage has become the command, which may be a moment after its first output.
    await expect
      .poll(async () => row((await lamina.call(['ps'])).stdout))
      .toMatch(/^[0-9a-f]{12} +tiny +"sh -c trap .* ago +Up .* +up$/);
    child.kill('SIGTERM');
    expect((await ended(child)).code).toBe(5);
    expect(row((await lamina.call(['ps'])).stdout)).toBeUndefined();
    expect(row((await lamina.call(['ps', '-a'])).stdout)).toMatch(/Exited \(5\) .* ago +up$/);
  });

  test('signals to the client reach process 1', async () => {
    for (const [signal, code] of [
      ['SIGTERM', 11],
      ['SIGINT', 12],
      ['SIGHUP', 13],
      ['SIGQUIT', 14],
      ['SIGUSR1', 15],
      ['SIGUSR2', 16],
    ] as const) {
      const child = lamina.start([
        'run',
        '--rm',
        'tiny',
        'sh',
        '-c',
        `trap 'exit ${code}' ${signal.slice(3)}; echo ready; ${WAIT}`,
      ]);
      await wrote(child, 'ready');
      child.kill(signal);
      expect((await ended(child)).code, signal).toBe(code);
    }
  });

  test('a name is unique, given back by rm, and stands for the container', async () => {
    await lamina.output('tiny', 'true');
    expect((await lamina.call(['run', '--name', 'once', 'tiny', 'true'])).code).toBe(0);
    const again = await lamina.call(['run', '--name', 'once', 'tiny', 'true']);
    expect(again).toMatchObject({ code: 125, stderr: expect.stringContaining('once is taken') as string });
    expect(await lamina.call(['rm', 'once'])).toMatchObject({ code: 0, stdout: 'once\n' });
    expect((await lamina.call(['run', '--rm', '--name', 'once', 'tiny', 'true'])).code).toBe(0);
    expect((await lamina.call(['rm', 'once'])).stderr).toContain('no container "once"');
  });

  test('names that nobody chose are two words', async () => {
    await lamina.call(['run', 'tiny', 'true']);
    const { stdout } = await lamina.call(['ps', '-a']);
    const name = stdout.split('\n')[1]?.split(/ +/).at(-1) ?? '';
    expect(name).toMatch(/^[a-z]+_[a-z]+$/);
    expect((await lamina.call(['rm', name])).code).toBe(0);
  });

  test('rm refuses a container that runs, and kills it with -f', async () => {
    const child = lamina.start(['run', '--name', 'busy', 'tiny', 'sh', '-c', `echo ready; ${WAIT}`]);
    const end = ended(child);
    await wrote(child, 'ready');
    await expect.poll(async () => (await lamina.call(['rm', 'busy'])).stderr).toContain('is running');
    expect((await lamina.call(['rm', '-f', 'busy'])).code).toBe(0);
    expect((await end).code).toBe(137);
    expect((await lamina.call(['ps', '-a'])).stdout).not.toContain('busy');
    expect(mounts()).not.toContain(lamina.root);
  });

  test('a client ended by SIGKILL takes its container with it; ps calls it dead and rm cleans up', async () => {
    const child = lamina.start([
      'run',
      '--rm',
      '--name',
      'orphan',
      'tiny',
      'sh',
      '-c',
      `echo x > /made; echo ready; exec sleep 4321`,
    ]);
    await wrote(child, 'ready');
    child.kill('SIGKILL');
    await ended(child);
    const isRunning = (): boolean => execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).includes('sleep 4321');
    await expect.poll(isRunning).toBe(false);
    expect((await lamina.call(['ps'])).stdout).not.toContain('orphan');
    expect((await lamina.call(['ps', '-a'])).stdout).toMatch(/Dead +orphan/);
    expect((await lamina.call(['diff', 'orphan'])).stdout).toBe('A /made\n');
    expect((await lamina.call(['rm', 'orphan'])).code).toBe(0);
    expect(mounts()).not.toContain(lamina.root);
  });

  const noSetpriv = firstMissing(has('setpriv'), has('ldd'));

  test.skipIf(noSetpriv)(
    titled('a container that escapes its supervisor’s end is orphaned; rm -f kills it', noSetpriv),
    async () => {
      await lamina.load(recipe('escaping', [extraProgram('setpriv')]));
      const script = 'exec setpriv --pdeathsig clear sleep 6543';
      const child = lamina.start(['run', '--name', 'lasting', 'escaping', 'sh', '-c', script]);
      const end = ended(child);
      await expect.poll(async () => (await lamina.call(['ps'])).stdout, LONG).toMatch(/Up .* lasting/);
      await expect.poll(() => processesOf('sleep 6543'), LONG).toHaveLength(1);
      child.kill('SIGKILL');
      await end;
      expect((await lamina.call(['ps'])).stdout).toMatch(/Up .* \(orphaned\) +lasting/);
      const refused = await lamina.call(['rm', 'lasting']);
      expect(refused).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/process \d+ without its supervisor/) as string,
      });
      expect(processesOf('sleep 6543')).toHaveLength(1);
      expect(await lamina.call(['rm', '-f', 'lasting'])).toEqual({ code: 0, stdout: 'lasting\n', stderr: '' });
      expect(processesOf('sleep 6543')).toEqual([]);
      expect((await lamina.call(['ps', '-a'])).stdout).not.toContain('lasting');
      expect(mounts()).not.toContain(lamina.root);
    },
  );

  test.skipIf(noSetpriv)(
    titled('a container whose launcher is killed ends, whatever signal it has asked for', noSetpriv),
    async () => {
      await lamina.load(recipe('escaping', [extraProgram('setpriv')]));
      const script = 'exec setpriv --pdeathsig clear sleep 6544';
      // A user namespace of its own is entered by a launcher.
      const users = ['--uidmap', '0:1900000000:2000', '--network', 'none'];
      const end = ended(lamina.start(['run', '--name', 'left', ...users, 'escaping', 'sh', '-c', script]));
      await expect.poll(() => processesOf('sleep 6544'), LONG).toHaveLength(1);
      const [init = 0] = processesOf('sleep 6544');
      const launcher = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${init}/status`, 'latin1'))?.[1]);
      expect(readFileSync(`/proc/${launcher}/cmdline`, 'latin1')).toContain('stage/main.js');
      process.kill(launcher, 'SIGKILL');
      expect(await end).toMatchObject({ code: 137 });
      expect(processesOf('sleep 6544')).toEqual([]);
      expect((await lamina.call(['ps', '-a'])).stdout).toMatch(/Exited \(137\) .* left/);
      expect(await lamina.call(['rm', 'left'])).toEqual({ code: 0, stdout: 'left\n', stderr: '' });
      expect(mounts()).not.toContain(lamina.root);
    },
  );

  test('a client that is killed while the container starts leaves no process', async () => {
    const names = [100, 200, 300].map((pause) => `early${pause}`);
    for (const name of names) {
      const child = lamina.start(['run', '--name', name, '--user', '7', 'tiny', 'sleep', '7654']);
      await sleep(Number(name.slice('early'.length)));
      child.kill('SIGKILL');
      await ended(child);
    }
    await expect.poll(() => processesOf('sleep 7654'), LONG).toEqual([]);
    await expect.poll(async () => (await lamina.call(['ps'])).stdout, LONG).not.toContain('early');
    // Those that had not come to be are not there to be removed.
    await lamina.call(['rm', ...names]);
    expect((await lamina.call(['ps', '-a'])).stdout).not.toContain('early');
    expect(mounts()).not.toContain(lamina.root);
  });

  test('a start that is interrupted leaves nothing', async () => {
    const before = containers();
    for (const delay of [100, 200, 300]) {
      const child = lamina.start(['run', '--rm', 'tiny', 'sleep', '2']);
      await sleep(delay);
      child.kill('SIGINT');
      const { code } = await ended(child);
      // 0: the command had begun; as process 1 without a handler it ignores the signal and goes on.
      expect([130, 0]).toContain(code);
    }
    expect(containers()).toEqual(before);
    expect(mounts()).not.toContain(lamina.root);
  });

  test('five containers of one image at once each see their own changes and share the layers', async () => {
    const hash = (): string =>
      execFileSync('sh', ['-c', `cd ${lamina.root}/layers && find . -type f | sort | xargs sha256sum | sha256sum`], {
        encoding: 'utf8',
      });
    const before = hash();
    const numbers = [1, 2, 3, 4, 5];
    const outcomes = await Promise.all(
      numbers.map((number) =>
        lamina.call([
          'run',
          '--name',
          `many-${number}`,
          'tiny',
          'sh',
          '-c',
          `echo ${number} > /data/a; rm /data/b; i=0; while [ $i -lt 20 ]; do echo $i > /data/f$i; i=$((i+1)); done; cat /data/a; ls /data | wc -l`,
        ]),
      ),
    );
    for (const [index, outcome] of outcomes.entries())
      expect(outcome).toEqual({ code: 0, stdout: `${index + 1}\n22\n`, stderr: '' });
    expect(hash()).toBe(before);
    const { stdout } = await lamina.call(['rm', ...numbers.map((number) => `many-${number}`)]);
    expect(stdout).toBe(numbers.map((number) => `many-${number}\n`).join(''));
  });

  test('what killed processes left is swept by the next removal', async () => {
    const abandoned = join(lamina.root, 'containers', `.making-${'0'.repeat(64)}.1.1`);
    const removing = join(lamina.root, 'containers', `.removing-${'0'.repeat(64)}.1.1`);
    // A process of an earlier boot whose number and start time, in ticks since boot, a living one bears.
    const started = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ')[19] ?? '';
    const rebooted = join(
      lamina.root,
      'containers',
      `.making-${'0'.repeat(64)}.earlier-boot.${process.pid}.${started}`,
    );
    const all = [abandoned, removing, rebooted];
    for (const directory of all) execFileSync('mkdir', ['-p', join(directory, 'upper/x')]);
    await lamina.output('tiny', 'true');
    expect(all.map((directory) => existsSync(directory))).toEqual([false, false, false]);
    expect(readdirSync(join(lamina.root, 'holds')).sort()).toEqual(containers().sort());
  });

  test('an image whose container is there is not removed', async () => {
    await lamina.load(recipe('held', [{ title: 'its own', entries: [{ type: 'file', name: 'own', content: 'x' }] }]));
    await lamina.call(['run', '--name', 'holder', 'held', 'true']);
    expect((await lamina.call(['image', 'rm', 'held'])).stderr).toContain('uses it');
    await lamina.call(['rm', 'holder']);
    expect((await lamina.call(['image', 'rm', 'held'])).code).toBe(0);
  });
});
