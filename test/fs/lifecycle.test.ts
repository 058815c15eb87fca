import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasUserNamespaces, mayRaiseLimits, titled } from '../support/requirements.ts';
import { PATIENCE, Playground, cannotMount, hasEnded, until } from './playground.ts';

const PROGRAM = [join(DIST, 'cli/fuse-lamina')];
const LAMINA = [process.execPath, join(DIST, 'cli/lamina.js')];
const cannotRaise = mayRaiseLimits();
const OPTIONS = ['-o', 'lowerdir=A:B,upperdir=U,workdir=W'];

describe.skipIf(cannotMount !== undefined)(titled('a mount', cannotMount), () => {
  let ground: Playground;
  beforeEach(() => void (ground = new Playground()));
  afterEach(() => ground.clear());

  /** Mounts on `m`; answers the daemon's process id. */
  function mount(environment: NodeJS.ProcessEnv = {}): number {
    const { code, stderr } = ground.fuseLaminaIn(environment, ...OPTIONS, 'm');
    expect([code, stderr]).toEqual([0, '']);
    return ground.daemonOf('m');
  }

  async function expectNothingLeft(pid: number): Promise<void> {
    await until('the daemon has ended', () => hasEnded(pid));
    expect(ground.mounted).toEqual([]);
    expect(ground.registered()).toEqual([]);
  }

  describe('served by a daemon ends cleanly, with all that was written in the upper, by', () => {
    const noHelper = has('fusermount3');
    const ends: readonly [what: string, end: (pid: number) => void, missing?: string | undefined][] = [
      ['umount', () => expect(ground.run(['umount', 'm'])).toMatchObject({ code: 0, stderr: '' })],
      ['lamina umount', () => expect(ground.lamina('umount', 'm')).toEqual({ code: 0, stdout: '', stderr: '' })],
      ['fusermount3 -u', () => expect(ground.run(['fusermount3', '-u', 'm'])).toMatchObject({ code: 0 }), noHelper],
      ['SIGTERM', (pid) => process.kill(pid, 'SIGTERM')],
      ['SIGINT', (pid) => process.kill(pid, 'SIGINT')],
    ];
    for (const [what, end, missing] of ends) {
      test.skipIf(missing !== undefined)(titled(what, missing), async () => {
        const pid = mount();
        writeFileSync(ground.at('m/new'), 'new');
        writeFileSync(ground.at('m/bottom'), 'changed');
        end(pid);
        await expectNothingLeft(pid);
        expect(readdirSync(ground.at('U')).sort()).toEqual(['bottom', 'new']);
        expect(readFileSync(ground.at('U/bottom'), 'utf8')).toBe('changed');
        expect(readFileSync(ground.at('B/bottom'), 'utf8')).toBe('bottom');
      });
    }
  });

  describe('in the foreground', () => {
    const start = async (): Promise<ReturnType<Playground['start']>> => {
      const started = ground.start([...PROGRAM, '-f', ...OPTIONS, 'm']);
      // The kernel has it; that it answers, or is registered, may be yet to come.
      await until('it is mounted', () => ground.mounted.includes('m'));
      return started;
    };

    test('ends with 0 on umount', async () => {
      const { end } = await start();
      // Busy while the daemon itself asks whether it answers.
      await until('it is unmounted', () => ground.run(['umount', 'm']).code === 0);
      expect(await end).toEqual({ code: 0, stdout: '', stderr: '' });
    });

    test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('ends with 0 on %s', async (signal) => {
      const { child, end } = await start();
      child.kill(signal);
      child.kill(signal);
      expect(await end).toEqual({ code: 0, stdout: '', stderr: '' });
      expect(ground.mounted).toEqual([]);
      expect(ground.registered()).toEqual([]);
    });
  });

  test('holds none of the descriptors of whoever mounted it', () => {
    // The shell's descriptor 30 is the pipe that is read to its end: were it inherited, this would wait for the daemon.
    const script = `exec 30>&1; ${PROGRAM.join(' ')} ${OPTIONS.join(' ')} m`;
    expect(ground.run(['bash', '-c', script])).toMatchObject({ code: 0, stdout: '' });
    const pid = ground.daemonOf('m');
    const described = ground.run(['sh', '-c', `cd /proc/${pid} && readlink cwd fd/0 fd/1 fd/2; grep ^NSsid: status`]);
    expect(described.stdout).toBe(`/\n/dev/null\n/dev/null\n/dev/null\nNSsid:\t${pid}\n`);
  });

  test.each([
    ['before it answers', false],
    ['without saying that it has heard of it', true],
  ])('is taken back where whoever asked for it has gone %s', async (_, waits) => {
    const daemon = spawn(process.execPath, [join(DIST, 'fs/daemon-process.js')], {
      cwd: ground.path,
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    const channel = daemon.stdio[3] as Duplex;
    const answered = new Promise((resolve) => channel.once('data', resolve));
    const options = { mountpoint: 'm', overlay: { lowers: ['A'] } };
    channel.write(`${JSON.stringify(options)}\n`);
    if (waits) expect(String(await answered)).toBe('\n');
    channel.destroy();
    const code = await new Promise((resolve) => daemon.on('close', resolve));
    expect(code).toBe(0);
    expect([ground.mounted, ground.registered()]).toEqual([[], []]);
  });

  test('writes its log where LAMINA_LOG says', () => {
    const log = ground.at('log');
    const command = [...PROGRAM, ...OPTIONS, 'm'];
    expect(ground.run(command, { LAMINA_LOG: log })).toMatchObject({ code: 0, stderr: '' });
    expect(ground.run(['readlink', `/proc/${ground.daemonOf('m')}/fd/2`]).stdout).toBe(`${log}\n`);
  });

  test('logs its counters on SIGUSR1, and opens no debugger', async () => {
    const log = ground.at('log');
    ground.run([...PROGRAM, ...OPTIONS, 'm'], { LAMINA_LOG: log });
    const pid = ground.daemonOf('m');
    process.kill(pid, 'SIGUSR1');
    await until('it has logged', () => readFileSync(log, 'utf8').endsWith('\n'));
    expect(readFileSync(log, 'utf8')).toMatch(/^\S+ lamina: \{"requests":\{.*"INIT":1.*\}\n$/);
    expect(ground.run(['sh', '-c', `ls -l /proc/${pid}/fd | grep -c socket:`]).stdout).toBe('1\n');
  });

  test('that others use is detached by SIGTERM, and they are told', async () => {
    // The programs that it takes are looked for on the mount first: the daemon must not wait for what it answers itself.
    const pid = mount({ PATH: `${ground.at('m/dir')}:${process.env['PATH'] ?? ''}` });
    const user = ground.start(['sh', '-c', 'cd m && echo inside && while cat top; do sleep 0.05; done']);
    await until('it is used', () => ground.run(['readlink', `/proc/${user.child.pid}/cwd`]).stdout.endsWith('/m\n'));
    process.kill(pid, 'SIGTERM');
    await expectNothingLeft(pid);
    // What is under way at the end is aborted.
    const { stderr } = await user.end;
    expect(stderr).toMatch(/^cat: top: (Transport endpoint is not connected|Software caused connection abort)\n$/);
  });

  test('that is detached by SIGTERM has in the upper what others changed through mappings', async () => {
    const pid = mount();
    writeFileSync(ground.at('m/mapped'), 'x'.repeat(4096));
    const script = `import mmap, sys
with open('m/mapped', 'r+b') as file:
    mapping = mmap.mmap(file.fileno(), 0)
    mapping[0:4] = b'done'
    print('mapped', flush=True)
    sys.stdin.read() or __import__('time').sleep(60)`;
    const user = ground.start(['python3', '-c', script]);
    await new Promise((resolve) => user.child.stdout?.once('data', resolve));
    process.kill(pid, 'SIGTERM');
    await until('the daemon has ended', () => hasEnded(pid));
    user.child.kill('SIGKILL');
    expect(readFileSync(ground.at('U/mapped'), 'latin1').slice(0, 5)).toBe('donex');
  });

  test('in use is not unmounted by lamina umount, but by --lazy', async () => {
    const pid = mount();
    const user = ground.start(['sh', '-c', 'cd m && exec sleep 60']);
    await until('it is used', () => ground.run(['readlink', `/proc/${user.child.pid}/cwd`]).stdout.endsWith('/m\n'));
    const { code, stderr } = ground.lamina('umount', 'm');
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^lamina: m is in use: .*\n$/)]);
    expect(readFileSync(ground.at('m/top'), 'utf8')).toBe('top');
    expect(ground.lamina('umount', '--lazy', 'm')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(ground.mounted).toEqual([]);
    user.child.kill();
    await user.end;
    await expectNothingLeft(pid);
  });

  describe('whose daemon was ended by SIGKILL', () => {
    test('says so, is cleaned up by lamina umount, and mounts again with all that was fsynced', async () => {
      const pid = mount();
      const fsync = "import os; fd = os.open('m/kept', os.O_CREAT | os.O_WRONLY); os.write(fd, b'kept'); os.fsync(fd)";
      expect(ground.run(['python3', '-c', fsync])).toMatchObject({ code: 0 });
      process.kill(pid, 'SIGKILL');
      await until('it has ended', () => hasEnded(pid));
      // What is under way when the device is closed is ECONNABORTED, and what comes later ENOTCONN.
      await until('the mount is dead', () => ground.run(['ls', 'm']).stderr.includes('endpoint is not connected'));
      expect(ground.registered()).toMatchObject([{ alive: false }]);
      expect(ground.lamina('mounts').stdout).toContain(
        `${ground.at('m')} (its daemon has died: lamina umount ${ground.at('m')})`,
      );
      expect(ground.lamina('stats', 'm').stderr).toContain('has died');
      expect(ground.fuseLamina(...OPTIONS, 'm').stderr).toBe(
        'fuse-lamina: mount point m is in use: a FUSE mount whose daemon has died (lamina umount m)\n',
      );
      expect(ground.lamina('umount', 'm')).toEqual({ code: 0, stdout: '', stderr: '' });
      expect(ground.mounted).toEqual([]);
      expect(ground.registered()).toEqual([]);
      mount();
      expect(readFileSync(ground.at('m/kept'), 'utf8')).toBe('kept');
    });

    test('and that was unmounted by others, is forgotten', async () => {
      const pid = mount();
      process.kill(pid, 'SIGKILL');
      await until('it has ended', () => hasEnded(pid));
      ground.run(['umount', '--lazy', 'm']);
      expect(ground.registered()).toEqual([]);
    });
  });

  test('unmounted under load loses nothing that a writer was told is written', async () => {
    const pid = mount();
    const script = 'i=0; while echo line >> m/log; do i=$((i + 1)); echo $i; done 2>/dev/null';
    const writers = [
      ground.start(['sh', '-c', script]),
      ground.start(['sh', '-c', script.replace('m/log', 'm/dir/log')]),
    ];
    await until(
      'both write',
      () => readdirSync(ground.at('m')).includes('log') && readdirSync(ground.at('m/dir')).includes('log'),
    );
    process.kill(pid, 'SIGTERM');
    await expectNothingLeft(pid);
    // The mount point's own directory takes what comes later: it is not in the upper.
    for (const writer of writers) writer.child.kill('SIGKILL');
    for (const [index, name] of ['log', 'dir/log'].entries()) {
      const told = (await writers[index]?.end)?.stdout.trim().split('\n').length ?? 0;
      const beneath = readFileSync(ground.at('U', name), 'utf8').trim().split('\n');
      const after = index === 0 && readdirSync(ground.at('m')).includes('log') ? lines(ground.at('m/log')) : 0;
      expect(beneath.every((line) => line === 'line')).toBe(true);
      expect(beneath.length + after).toBeGreaterThanOrEqual(told);
    }
  });

  test('leaves no directory for its state behind when it was the last one', async () => {
    const mounts = [
      [...OPTIONS, 'm'],
      ['-o', 'lowerdir=B,upperdir=U2,workdir=W2', 'm2'],
    ];
    for (const one of mounts) expect(ground.run([...PROGRAM, ...one])).toMatchObject({ code: 0 });
    expect(ground.run([...LAMINA, 'umount', 'm'])).toMatchObject({ code: 0, stderr: '' });
    // Of the two, a state file and a socket each, those of the first are gone.
    await expect.poll(() => readdirSync(ground.at('run/lamina')), { timeout: PATIENCE }).toHaveLength(2);
    expect(ground.run([...LAMINA, 'umount', 'm2'])).toMatchObject({ code: 0, stderr: '' });
    await until('the directory is gone', () => readdirSync(ground.at('run')).length === 0);
    expect(ground.run([...LAMINA, 'mounts'])).toMatchObject({ code: 0, stderr: '' });
  });

  test('takes away the state that a daemon left half-written which was killed', () => {
    mkdirSync(ground.at('run/lamina'), { mode: 0o700 });
    for (const name of ['0-1-2.new', '0-1-3.new']) writeFileSync(ground.at('run/lamina', name), '{');
    utimesSync(ground.at('run/lamina/0-1-2.new'), 0, 0);
    expect(ground.run([...LAMINA, 'mounts'])).toMatchObject({ code: 0, stderr: '' });
    // The other may be one that is just being written.
    expect(readdirSync(ground.at('run/lamina'))).toEqual(['0-1-3.new']);
    rmSync(ground.at('run/lamina'), { recursive: true });
  });

  test('beside another has its own state, and each ends alone', async () => {
    const pid = mount();
    expect(ground.fuseLamina('-o', 'lowerdir=B,upperdir=U2,workdir=W2', 'm2')).toMatchObject({ code: 0 });
    writeFileSync(ground.at('m/one'), '1');
    writeFileSync(ground.at('m2/two'), '2');
    expect([readdirSync(ground.at('U')), readdirSync(ground.at('U2'))]).toEqual([['one'], ['two']]);
    expect(ground.lamina('umount', 'm')).toMatchObject({ code: 0 });
    await until('the first has ended', () => hasEnded(pid));
    expect(ground.registered()).toMatchObject([{ mountpoint: ground.at('m2'), alive: true }]);
    expect(readFileSync(ground.at('m2/bottom'), 'utf8')).toBe('bottom');
  });

  test.skipIf(cannotRaise !== undefined)(
    titled('serves more open files than whoever mounted it may have open', cannotRaise),
    () => {
      expect(
        ground.run(['sh', '-c', `ulimit -n 256 && exec ${PROGRAM.join(' ')} ${OPTIONS.join(' ')} m`]),
      ).toMatchObject({ code: 0, stderr: '' });
      const fds = Array.from({ length: 600 }, () => openSync(ground.at('m/top'), 'r'));
      expect(new Set(fds.map((fd) => readFileSync(fd, 'utf8')))).toEqual(new Set(['top']));
      fds.forEach(closeSync);
    },
  );

  test('lets the filesystems of its layers be unmounted at any time, and goes on', () => {
    const onTmpfs = (directory: string): void => {
      mkdirSync(ground.at(directory), { recursive: true });
      expect(ground.run(['mount', '-t', 'tmpfs', 'tmpfs', directory])).toMatchObject({ code: 0, stderr: '' });
    };
    onTmpfs('lower');
    onTmpfs('changes');
    for (const directory of ['lower/dir', 'changes/U', 'changes/W']) mkdirSync(ground.at(directory));
    writeFileSync(ground.at('lower/dir/file'), 'lower');
    const options = 'lowerdir=A:lower,upperdir=changes/U,workdir=changes/W';
    expect(ground.fuseLamina('-o', options, 'm')).toMatchObject({ code: 0, stderr: '' });
    for (const directory of ['lower', 'changes']) {
      expect(ground.run(['umount', directory])).toMatchObject({ code: 0, stderr: '' });
    }
    ground.run(['sh', '-c', 'echo more >> m/dir/file && mv m/dir/file m/dir/moved && rm m/dir/upper']);
    expect(readdirSync(ground.at('m/dir'))).toEqual(['moved']);
    expect(readFileSync(ground.at('m/dir/moved'), 'utf8')).toBe('lowermore\n');
    expect(ground.run(['umount', 'm'])).toMatchObject({ code: 0, stderr: '' });
  });

  test('inside one of its layers shows what lies below it there, and what else is mounted in the layer', () => {
    mkdirSync(ground.at('B/inside'));
    mkdirSync(ground.at('B/other'));
    writeFileSync(ground.at('B/inside/below'), 'below');
    expect(ground.run(['mount', '-t', 'tmpfs', 'none', 'B/other']).code).toBe(0);
    writeFileSync(ground.at('B/other/file'), 'other');
    expect(ground.fuseLamina(...OPTIONS, 'B/inside')).toMatchObject({ code: 0, stderr: '' });
    const found = ground.run(['timeout', '20', 'find', 'B/inside', '-type', 'f', '-printf', '%P\n']);
    expect(found.stdout.trim().split('\n').sort()).toEqual([
      'bottom',
      'dir/lower',
      'dir/upper',
      'inside/below',
      'other/file',
      'top',
    ]);
    expect(ground.run(['umount', 'B/inside', 'B/other'])).toMatchObject({ code: 0, stderr: '' });
  });

  test('is refused where upperdir is a mount of its own, whose being read-only no other way to it may undo', () => {
    expect(ground.run(['mount', '--bind', 'U', 'U'])).toMatchObject({ code: 0, stderr: '' });
    expect(ground.run(['mount', '-o', 'remount,bind,ro', 'U'])).toMatchObject({ code: 0, stderr: '' });
    const { code, stderr } = ground.fuseLamina(...OPTIONS, 'm');
    ground.run(['umount', 'm']);
    expect(ground.run(['umount', 'U'])).toMatchObject({ code: 0, stderr: '' });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^fuse-lamina: cannot use workdir W: it is in another mount than upperdir U, .*\n$/);
  });

  const noNamespaces = firstMissing(hasUserNamespaces());
  test.skipIf(noNamespaces !== undefined)(titled('made inside a user namespace works there', noNamespaces), () => {
    const script = [
      `${PROGRAM.join(' ')} ${OPTIONS.join(' ')} m`,
      'cat m/dir/lower && echo new > m/new',
      `${LAMINA.join(' ')} mounts`,
      `${LAMINA.join(' ')} umount m`,
    ].join(' && ');
    const { code, stdout, stderr } = ground.run([
      'unshare',
      '--user',
      '--map-root-user',
      '--mount',
      'sh',
      '-c',
      script,
    ]);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('lower');
    expect(stdout).toContain(`  ${ground.at('U')}=rw\n  ${ground.at('A')}=ro+wh\n  ${ground.at('B')}=ro+wh\n`);
    expect(readFileSync(ground.at('U/new'), 'utf8')).toBe('new\n');
  });
});

const lines = (path: string): number => readFileSync(path, 'utf8').trim().split('\n').length;
