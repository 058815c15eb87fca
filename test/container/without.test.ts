import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Diagnosis } from '../../runner/doctor/doctor.ts';
import { buildArchive } from '../../runner/demo/image.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { Lamina, type Outcome, type User, ended, makeUser, recipe, removeUser } from './lamina.ts';

// Machines that lack something, each a mount namespace in which it is hidden.

const missing = firstMissing(isRoot(), hasFuseDevice(), has('unshare'), has('setpriv'));
const rootless = firstMissing(missing, hasUserNamespaces(), has('useradd'), has('newuidmap'));
const withoutStrace = firstMissing(missing, has('strace'));

const USER = 'lamina-without';
const RANGE = { start: 930_000, count: 65_536 };
const RUN = ['run', '--rm', '--network', 'host', 'tiny', 'true'];

/** A program that cannot be executed, wherever it is. */
function hide(...programs: readonly string[]): string {
  return programs
    .flatMap((name) => ['/usr/bin', '/usr/sbin', '/usr/local/bin'].map((directory) => `${directory}/${name}`))
    .map((path) => `[ ! -f ${path} ] || mount --bind "$0" ${path}`)
    .join('; ');
}

const device = (name: string, number: string, mode: number): string =>
  `mount -t tmpfs none /mnt && mknod -m ${mode} /mnt/d c ${number} && mount --bind /mnt/d /dev/${name} && umount -l /mnt`;
const OPEN_FUSE = device('fuse', '10 229', 666);
const OPEN_TUN = device('net/tun', '10 200', 666);
const NO_FUSE = [
  'mount -t tmpfs none /mnt',
  'for n in null zero full random urandom tty; do : > /mnt/$n; mount --bind /dev/$n /mnt/$n; done',
  'ln -s /proc/self/fd /mnt/fd; mkdir /mnt/pts /mnt/shm; mount --move /mnt /dev',
].join('; ');
const NO_CGROUPS = 'umount -l /sys/fs/cgroup';
const READ_ONLY_CGROUPS =
  'for m in /sys/fs/cgroup /sys/fs/cgroup/*; do mount -o remount,bind,ro $m 2>/dev/null || true; done';

const refused = (call: string): string[] => ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `inject=${call}`];

/** One line that begins as all of ours do. */
const LINE = /^lamina: [^\n]+\n$/;

describe.skipIf(missing)(titled('a machine that lacks something, with the remedy', missing), () => {
  const scratch = missing ? '' : mkdtempSync(join(tmpdir(), 'lamina-without-'));
  const nothing = join(scratch, 'nothing');
  const archive = join(scratch, 'tiny.tar');
  let lamina: Lamina;
  let ordinary: Lamina | undefined;
  let user: User | undefined;

  beforeAll(async () => {
    writeFileSync(nothing, '', { mode: 0o644 });
    writeFileSync(archive, await buildArchive(await recipe('tiny')));
    lamina = new Lamina();
    await lamina.load(recipe('tiny'));
    if (rootless !== undefined) return;
    user = makeUser(USER, RANGE);
    ordinary = new Lamina(user);
    await ordinary.load(recipe('tiny'));
  }, 60_000);

  afterAll(async () => {
    await lamina.close();
    await ordinary?.close();
    if (user !== undefined) removeUser(user.name);
    rmSync(scratch, { recursive: true });
  });

  /**
   * @param prepare lines of shell that make the machine, whose `$0` is an empty file.
   * @param wrapper a command that executes another one, as the user.
   */
  function on(
    prepare: string,
    args: readonly string[],
    who: User | 'root' = 'root',
    wrapper: readonly string[] = [],
  ): Promise<Outcome> {
    const isTraced = wrapper[0] === 'strace';
    // strace(1) that is root itself changes ids so that newuidmap keeps its rights.
    const ids = isTraced ? [] : ['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--init-groups'];
    const become = who === 'root' ? wrapper : [...ids, ...wrapper, ...(isTraced ? ['-u', USER] : [])];
    const command = [...become, process.execPath, join(DIST, 'cli/lamina.js'), ...args];
    const root = (who === 'root' ? lamina : ordinary)?.root ?? '';
    const home = who === 'root' ? {} : { HOME: `/home/${who.name}`, USER: who.name, XDG_RUNTIME_DIR: '' };
    const child = spawn('unshare', ['--mount', 'sh', '-ec', `${prepare}; exec "$@"`, nothing, ...command], {
      cwd: '/',
      env: { ...process.env, ...home, LAMINA_ROOT: root, LAMINA_NETWORK: '' },
    });
    child.stdin.end();
    return ended(child);
  }

  async function remedyOf(check: string, prepare: string, who: User | 'root' = 'root'): Promise<string | undefined> {
    const { stdout } = await on(prepare, ['doctor', '--json'], who);
    return (JSON.parse(stdout) as Diagnosis).checks.find(({ name }) => name === check)?.remedy;
  }

  function left(store = lamina): string[] {
    const containers = readdirSync(join(store.root, 'containers')).filter((name) => !name.startsWith('.'));
    return [...containers, ...readdirSync(join(store.root, 'tmp'))];
  }

  /** Holds what `run` and what `lamina doctor` say of a machine against each other. */
  async function same(outcome: Outcome, check: string, prepare: string, who: User | 'root' = 'root'): Promise<void> {
    expect(outcome.stderr).toMatch(LINE);
    const remedy = await remedyOf(check, prepare, who);
    expect(remedy).toBeTruthy();
    expect(outcome.stderr).toContain(remedy);
  }

  describe.skipIf(rootless)(titled('of an ordinary user', rootless), () => {
    const me = (): User => user ?? { name: USER, uid: 0 };

    test('newuidmap: runs with a single id, and says so', async () => {
      const machine = `${OPEN_FUSE}; ${hide('newuidmap')}`;
      const outcome = await on(machine, RUN, me());
      expect(outcome).toMatchObject({ code: 0 });
      expect(outcome.stderr).toMatch(/newuidmap is not installed: running with a single id/);
      await same(outcome, 'subordinate ids', machine, me());
    });

    test('newuidmap that is not set-uid root', async () => {
      const copy = join(scratch, 'newuidmap');
      const machine = `${OPEN_FUSE}; cp $(command -v newuidmap) ${copy}; chmod 755 ${copy}; mount --bind ${copy} $(command -v newuidmap)`;
      const outcome = await on(machine, RUN, me());
      expect(outcome).toMatchObject({ code: 125, stdout: '' });
      expect(outcome.stderr).toMatch(/^lamina: cannot map the subordinate ids of lamina-without: /);
      await same(outcome, 'subordinate ids', machine, me());
    });

    test('/dev/fuse that is closed: `run` tells of the drivers that need none', async () => {
      const machine = device('fuse', '10 229', 600);
      const outcome = await on(machine, RUN, me());
      expect(outcome).toMatchObject({ code: 125, stdout: '' });
      expect(outcome.stderr).toMatch(/closed to you \(EACCES\): .*; or do without FUSE: lamina run --driver auto\n$/);
      await same(outcome, '/dev/fuse', machine, me());
      expect(await on(machine, ['run', '--rm', '--network', 'host', '--driver', 'vfs', 'tiny', 'true'], me())).toEqual({
        code: 0,
        stdout: '',
        stderr: '',
      });
      expect(left(ordinary)).toEqual([]);
    });

    test('user namespaces, by seccomp or the settings of an outer container', async () => {
      const outcome = await on(`${OPEN_FUSE}; ${hide('unshare')}`, RUN, me());
      expect(outcome.code).toBe(125);
      expect(outcome.stderr).toContain('unshare is not installed; as root: apt-get install util-linux');
      await same(outcome, 'user namespaces', `${OPEN_FUSE}; ${hide('unshare')}`, me());
    });

    test.skipIf(withoutStrace)(
      titled('unshare(CLONE_NEWUSER), mount(2) or pivot_root(2) in a new user namespace', withoutStrace),
      async () => {
        for (const call of ['unshare:error=EPERM', 'mount:error=EACCES']) {
          const { code, stderr } = await on(OPEN_FUSE, RUN, me(), refused(call));
          expect(code).toBe(125);
          expect(stderr).toMatch(LINE);
          expect(stderr).toMatch(/^lamina: an ordinary user needs a user namespace, .*: (run as root|as root: sysctl)/);
        }
        const named = ['run', '--name', 'moved', '--network', 'host', 'tiny', 'true'];
        expect(await on(OPEN_FUSE, named, me(), refused('pivot_root:error=EPERM'))).toMatchObject({
          code: 0,
          stderr: '',
        });
        const inspected = await on(OPEN_FUSE, ['inspect', '-f', '{{.State.RootChange}}', 'moved'], me());
        expect(inspected.stdout).toBe('move\n');
        expect((await on(OPEN_FUSE, ['rm', 'moved'], me())).code).toBe(0);
      },
    );

    test('cgroup write access: a limit fails', async () => {
      const machine = `${OPEN_FUSE}; ${READ_ONLY_CGROUPS}`;
      const outcome = await on(machine, ['run', '--rm', '--network', 'host', '--memory', '64m', 'tiny', 'true'], me());
      expect(outcome.code).toBe(125);
      expect(outcome.stderr).toMatch(/^lamina: --memory cannot be set: /);
      await same(outcome, 'control groups', machine, me());
    });

    test("pasta and slirp4netns: has the host's network; where a private one is asked for, fails", async () => {
      const machine = `${OPEN_FUSE}; ${OPEN_TUN}; ${hide('pasta', 'passt', 'slirp4netns')}`;
      const outcome = await on(machine, ['run', '--rm', 'tiny', 'true'], me());
      expect(outcome.code).toBe(0);
      await same(outcome, 'private network', machine, me());
      const asked = await on(machine, ['create', '--network', 'private', 'tiny'], me());
      expect(asked).toMatchObject({ code: 1, stdout: '' });
      expect(asked.stderr).toContain('(as root: apt-get install passt)');
      expect(left(ordinary)).toEqual([]);
    });

    test('a home: the store cannot be made', async () => {
      const without = ['env', '-u', 'LAMINA_ROOT', 'HOME=/nonexistent'];
      const { code, stderr } = await on(OPEN_FUSE, RUN, me(), without);
      expect([code, stderr]).toEqual([
        125,
        'lamina: cannot make the store /nonexistent/.local/share/lamina: /nonexistent: permission denied (EACCES); set LAMINA_ROOT to a directory in which you may write\n',
      ]);
      const unset = await on(OPEN_FUSE, ['system', 'df'], me(), ['env', '-u', 'LAMINA_ROOT', '-u', 'HOME']);
      expect(unset).toMatchObject({ code: 0, stderr: '' });
    });
  });

  test('/dev/fuse: run, run -d, start and mount', async () => {
    const created = await on(NO_FUSE, ['create', '--name', 'late', '--network', 'host', 'tiny', 'true']);
    expect(created.code).toBe(0);
    const rows = [
      [RUN, 125],
      [['run', '-d', ...RUN.slice(1)], 125],
      [['start', 'late'], 1],
      [['mount', '--lower', '/etc', scratch], 1],
    ] as const;
    for (const [args, code] of rows) {
      const outcome = await on(NO_FUSE, args);
      expect(outcome, args.join(' ')).toMatchObject({ code, stdout: '' });
      expect(outcome.stderr).toMatch(
        /^lamina: cannot mount on \S+: \/dev\/fuse is not there \(ENOENT\): as root: modprobe fuse; .*--device \/dev\/fuse --cap-add SYS_ADMIN[^\n]*\n$/,
      );
    }
    await same(await on(NO_FUSE, RUN), '/dev/fuse', NO_FUSE);
    expect((await on(NO_FUSE, ['run', '--rm', '--network', 'host', '--driver', 'auto', 'tiny', 'true'])).code).toBe(0);
    expect((await on(NO_FUSE, ['rm', 'late'])).code).toBe(0);
    expect(left()).toEqual([]);
  });

  test('control groups, and write access to them, of root', async () => {
    expect(await on(READ_ONLY_CGROUPS, RUN)).toMatchObject({ code: 0, stderr: '' });
    for (const machine of [NO_CGROUPS, READ_ONLY_CGROUPS]) {
      const outcome = await on(machine, ['run', '--rm', '--network', 'host', '--pids-limit', '9', 'tiny', 'true']);
      expect(outcome.code).toBe(125);
      expect(outcome.stderr).toMatch(LINE);
      expect(outcome.stderr).toMatch(/--pids-limit cannot be set: .* as root: mount -/);
      const remedy = await remedyOf('control groups', machine);
      // The doctor's mends all hierarchies, the run's the one that it needs.
      expect(outcome.stderr).toContain(/mount -\S+ \S+/.exec(remedy ?? '')?.[0]);
    }
  });

  test.skipIf(withoutStrace)(
    titled('namespaces, processes and pivot_root of root, as a seccomp filter refuses them', withoutStrace),
    async () => {
      for (const args of [RUN, ['run', '-d', ...RUN.slice(1)]]) {
        const { code, stderr } = await on('true', args, 'root', refused('unshare:error=EPERM'));
        expect(code).toBe(125);
        expect(stderr).toMatch(/^lamina: cannot make a pid namespace: .*EPERM\): [^\n]*--privileged[^\n]*\n$/);
      }
      // What becomes the first process is executed by the descriptor after those that it is given.
      const unexecuted = [...refused('execve:error=EACCES'), '-P', '/proc/self/fd/6'];
      const { code, stderr } = await on('true', RUN, 'root', unexecuted);
      expect(code).toBe(125);
      expect(stderr).toMatch(/^lamina: cannot start the first process of the container: [^\n]*EACCES\)\n$/);
      expect(await on('true', RUN, 'root', refused('pivot_root:error=EPERM'))).toMatchObject({ code: 0, stderr: '' });
      expect(left()).toEqual([]);
    },
  );

  test('an option that lamina has no part of is refused in one line, and one that asks for what is so is accepted', async () => {
    const refused = await on('true', ['run', '--rm', '--gpus', 'all', 'tiny', 'true']);
    expect(refused).toMatchObject({ code: 125, stdout: '' });
    expect(refused.stderr).toMatch(/^lamina: --gpus: [^\n]*--device[^\n]*\n$/);
    const accepted = ['--no-healthcheck', '--isolation', 'default', '--volume-driver', 'local'];
    expect(await on('true', ['run', ...accepted, ...RUN.slice(1)])).toMatchObject({ code: 0, stderr: '' });
  });

  test('open files: run and run -d end with one line, and leave nothing', async () => {
    for (const limit of [24, 40, 48]) {
      const { code, stderr } = await on('true', RUN, 'root', ['prlimit', `--nofile=${limit}:${limit}`]);
      expect(code).toBe(125);
      expect(stderr).toMatch(/^lamina: [^\n]*\(EMFILE\); raise the limit of open files: ulimit -n 1024\n$/);
    }
    expect(left()).toEqual([]);
  });

  test('space, or a store that can be written: nothing is lost, and what is there can be removed', async () => {
    const small = 'mount -t tmpfs -o size=24m none /mnt; mkdir /mnt/s';
    const script = `
      export LAMINA_ROOT=/mnt/s
      "$@" load -qi ${archive} && "$@" create --name one --network host tiny true
      dd if=/dev/zero of=/mnt/fill bs=64k status=none 2>/dev/null; dd if=/dev/zero of=/mnt/rest bs=4k status=none 2>/dev/null
      for a in "create tiny" "run --rm --network host tiny true" "run -d --network host tiny true" "start -a one" "tag tiny two"; do
        "$@" $a; echo "= $?"
      done
      "$@" ps -a --format '{{.Names}} {{.Status}}'; "$@" rm one; "$@" rmi tiny; echo "= $?"; ls /mnt/s/tmp /mnt/s/layers`;
    const { stdout, stderr } = spawnSync(
      'unshare',
      ['--mount', 'sh', '-c', `${small}; ${script}`, 'sh', process.execPath, join(DIST, 'cli/lamina.js')],
      { encoding: 'utf8', cwd: '/' },
    );
    const full = stderr.split('\n').filter((line) => line !== '');
    expect(full).toHaveLength(5);
    for (const line of full) expect(line).toMatch(/^lamina: .*ENOSPC\); free some space .*LAMINA_ROOT/);
    expect([...stdout.matchAll(/^= (\d+)$/gm)].map((match) => match[1])).toEqual(['1', '125', '125', '125', '1', '0']);
    expect(stdout).toMatch(/^one Created\none$/m);
    const readOnly = `mount --bind ${lamina.root} ${lamina.root}; mount -o remount,bind,ro ${lamina.root}`;
    const outcome = await on(readOnly, RUN);
    expect(outcome.code).toBe(125);
    expect(outcome.stderr).toMatch(/^lamina: cannot open lock \S+: .*\(EROFS\); set LAMINA_ROOT [^\n]*\n$/);
    expect((await on(readOnly, ['images', '-q'])).stdout).toMatch(/^[0-9a-f]{12}\n$/);
  });
});
