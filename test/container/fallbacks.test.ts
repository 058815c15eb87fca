import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DIST, REPOSITORY } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, type Outcome, ended, extraProgram, recipe } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice(), has('perl'));
const withoutStrace = firstMissing(missing, has('strace'));

const CLI = join(DIST, 'cli/lamina.js');

// What must hold on any kernel: root, descriptors, masks, read-only and nodev mounts.
// The classic way out of a chroot: a root below the working directory, and up from there.
const ESCAPE = `perl -e 'mkdir "/jail"; print chroot("/jail") ? "jailed" : "refused"; chdir ".." for 1 .. 99; chroot "."; print -e "/usr" ? " outside" : " inside", "\\n"'`;

const LOOK = [
  // By nothing that has the shell itself open a file for a moment: pipes, redirections and patterns do.
  'n=0; i=0; while [ $i -lt 256 ]; do [ -e /proc/1/fd/$i ] && n=$((n+1)); i=$((i+1)); done; echo $n',
  'ls / | wc -l',
  'while read -r id parent dev root point flags rest; do echo "$point $flags"; done < /proc/self/mountinfo',
  'touch /mnt/x 2>/dev/null && echo written',
  ESCAPE,
  'mknod /null c 1 3; cat /null 2>/dev/null && echo opened',
  '[ -e /proc/1/root/usr ] && echo files of the host; [ "$(readlink /proc/1/exe)" = /bin/sh ] || echo other program',
  'true',
].join('; ');

describe.skipIf(missing)(titled('where the kernel lacks a call, a container comes out the same', missing), () => {
  let lamina: Lamina;
  let usual: Outcome;
  let directory: string;

  beforeAll(async () => {
    lamina = new Lamina();
    directory = mkdtempSync(join(tmpdir(), 'lamina-fallback-'));
    await lamina.load(recipe('tiny', [extraProgram('perl')]));
    usual = await lamina.call(['run', '--rm', '-v', '/etc:/mnt:ro', 'tiny', 'sh', '-c', LOOK]);
  });

  afterAll(async () => {
    await lamina.close();
    rmSync(directory, { recursive: true });
  });

  /** Runs the same with system calls that fail as an older kernel's would. */
  async function injected(...calls: readonly string[]): Promise<{ readonly outcome: Outcome; readonly trace: string }> {
    const log = join(directory, 'trace');
    const injections = calls.flatMap((call) => ['-e', `inject=${call}`]);
    const traced = ['mount', ...calls.map((call) => call.replace(/:.*/, ''))].join();
    const run = ['run', '--rm', '-v', '/etc:/mnt:ro', 'tiny', 'sh', '-c', LOOK];
    const args = ['-f', '-o', log, '-e', `trace=${traced}`, ...injections, process.execPath, CLI, ...run];
    const child = spawn('strace', args, { cwd: '/', env: { ...process.env, LAMINA_ROOT: lamina.root } });
    return { outcome: await ended(child), trace: readFileSync(log, 'utf8') };
  }

  test('the usual way gives what the others are held against', () => {
    expect(usual).toMatchObject({ code: 0, stderr: '' });
    expect(usual.stdout).toMatch(/^3\n/);
    expect(usual.stdout).toMatch(/^\/mnt ro,nodev/m);
    expect(usual.stdout).toMatch(/^jailed inside$/m);
    expect(usual.stdout).not.toMatch(/written|opened|files of the host|other program/);
  });

  test.skipIf(withoutStrace)(
    titled('without mount_setattr, open_tree and close_range (before Linux 5.2 to 5.12)', withoutStrace),
    async () => {
      const calls = ['mount_setattr:error=ENOSYS', 'open_tree:error=ENOSYS', 'close_range:error=EINVAL'];
      const { outcome, trace } = await injected(...calls);
      expect(trace).toContain('INJECTED');
      expect(outcome).toEqual(usual);
    },
  );

  test.skipIf(withoutStrace)(
    titled('where pivot_root is refused, as on the initial ramfs, by moving the mount', withoutStrace),
    async () => {
      const { outcome, trace } = await injected('pivot_root:error=EINVAL');
      expect(trace).toMatch(/"\/", NULL, MS_MOVE, NULL\) = 0/);
      expect(outcome).toEqual(usual);
    },
  );

  test('inside a chroot by a plain chroot, with a warning and without CAP_SYS_CHROOT; exec gets into it', async () => {
    const root = join(directory, 'chroot');
    mkdirSync(root);
    const names = execFileSync('ls', ['/'], { encoding: 'utf8' }).split('\n');
    const top = names.filter((name) => /^(usr|lib.*|bin|sbin|etc|proc|dev|sys|tmp|var)$/.test(name));
    const modules = realpathSync(join(REPOSITORY, 'node_modules'));
    top.push(...[REPOSITORY, DIST, process.execPath, modules].map((path) => path.split('/')[1] ?? ''));
    const binds = [...new Set(top)].map((name) => `mkdir -p ${root}/${name} && mount --rbind /${name} ${root}/${name}`);
    const script = `${binds.join(' && ')} && exec chroot ${root} "$@"`;
    const inside =
      '[ -e /usr ] || echo own root; while read -r name value; do [ "$name" = CapBnd: ] && echo $value; done < /proc/self/status';
    const command = [process.execPath, CLI, 'run', '--rm', 'tiny', 'sh', '-c', `${inside}; ${ESCAPE}`];
    const child = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', ...command], {
      env: { ...process.env, LAMINA_ROOT: lamina.root },
    });
    const { code, stdout, stderr } = await ended(child);
    expect(stderr).toMatch(/^lamina: warning: .*plain chroot\n$/);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'own root\n00000000a80025fb\nrefused inside\n' });
    // A shell in there, so that its mounts are there for both commands.
    const twice =
      '"$@" run -d --rm --network none --name c tiny sleep 1000 >/dev/null && "$@" exec -w /srv c sh -c "ls / | wc -l; pwd"; "$@" inspect -f "{{.State.RootChange}}" c; "$@" rm -f c';
    const added = spawn(
      'unshare',
      ['--mount', 'sh', '-c', script, 'sh', 'sh', '-c', twice, 'sh', process.execPath, CLI],
      {
        env: { ...process.env, LAMINA_ROOT: lamina.root },
      },
    );
    const listed = (await lamina.output('tiny', 'sh', '-c', 'ls / | wc -l')).trim();
    expect(await ended(added)).toMatchObject({ code: 0, stdout: `${listed}\n/srv\nchroot\nc\n` });
  });
});
