import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  chmodSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { programLayer } from '../../runner/demo/image.ts';
import { DIST, REPOSITORY } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { packTree, writeTree } from './hostile-tree.ts';
import { Lamina, type Outcome, ended, extraProgram, makeUser, removeUser } from './lamina.ts';

// Each known way out of a container is tried twice: on a runner that knows none of them, where it must succeed, or the
// attack proves nothing; and on lamina, where it must not. Whatever is attacked is a canary in the test's own directory.

const missing = firstMissing(isRoot(), hasFuseDevice(), has('perl'), has('script'), has('setpriv'));
const NAIVE = join(REPOSITORY, 'test/support/naive-runner.sh');
const SECRET = 'the secret of the host';
const PERL = realpathSync('/usr/bin/perl');

interface Attempt {
  readonly command: readonly string[];
  /** Of `lamina run`. */
  readonly options?: readonly string[];
  /** NAIVE_*, of the naive runner. */
  readonly naive?: Readonly<Record<string, string>>;
  readonly tree?: 'hostile' | 'linked';
}

describe.skipIf(missing)(titled('a known way out of a container', missing), () => {
  let lamina: Lamina;
  let base: string;
  /** What belongs to the host. */
  let canary: string;
  const tree = (name: string) => join(base, name);

  beforeAll(async () => {
    base = mkdtempSync(join(tmpdir(), 'lamina-escape-'));
    chmodSync(base, 0o755);
    canary = join(base, 'canary');
    lamina = new Lamina();
    const layers = [await programLayer(), extraProgram('perl')];
    for (const name of ['hostile', 'linked']) writeTree(tree(name), layers);
    makeHostile(tree('hostile'));
    rmSync(join(tree('linked'), 'proc'), { recursive: true });
    symlinkSync(join(canary, 'proc'), join(tree('linked'), 'proc'));
    for (const name of ['hostile', 'linked']) {
      packTree(tree(name), join(base, `${name}.tar`));
      const imported = await lamina.call(['import', join(base, `${name}.tar`), name]);
      if (imported.code !== 0) throw new Error(imported.stderr);
    }
  });

  afterAll(async () => {
    await lamina.close();
    rmSync(base, { recursive: true, force: true });
  });

  beforeEach(() => {
    rmSync(canary, { recursive: true, force: true });
    mkdirSync(join(canary, 'proc'), { recursive: true });
    mkdirSync(join(canary, 'private'), { mode: 0o700 });
    writeFileSync(join(canary, 'private/secret'), SECRET);
    writeFileSync(join(canary, 'file'), 'untouched');
  });

  function makeHostile(root: string): void {
    const link = (name: string, target: string) => {
      mkdirSync(join(root, name, '..'), { recursive: true });
      rmSync(join(root, name), { recursive: true, force: true });
      symlinkSync(target, join(root, name));
    };
    link('dev/null', join(canary, 'file'));
    link('dev/pts/0', join(canary, 'file'));
    link('proc/sys/kernel/msgmax', join(canary, 'file'));
    link('data', canary);
    execFileSync('mknod', ['-m', '666', join(root, 'srv/zero'), 'c', '1', '5']);
    copyFileSync(join(root, 'bin/sh'), join(root, 'srv/suid'));
    chmodSync(join(root, 'srv/suid'), 0o4755);
    // perl executes another interpreter where the line does not name it.
    link('perl', 'proc');
    for (const [name, text] of Object.entries(PROGRAMS)) writeFileSync(join(root, 'bin', name), text, { mode: 0o755 });
    // The runtime's own libraries, so that it starts in here.
    for (const library of librariesOf(process.execPath)) {
      mkdirSync(join(root, library, '..'), { recursive: true });
      copyFileSync(library, join(root, library));
    }
  }

  function naive({ command, naive: settings = {}, tree: name = 'hostile' }: Attempt): Outcome {
    // A directory of the host that the runner has open.
    const leaked = openSync(join(canary, 'private'), 'r');
    try {
      const env = { PATH: process.env['PATH'] ?? '', NAIVE_CANARY: canary, ...settings };
      const stdio = [
        'pipe',
        'pipe',
        'pipe',
        'ignore',
        'ignore',
        'ignore',
        'ignore',
        'ignore',
        'ignore',
        leaked,
      ] as const;
      const done = spawnSync(NAIVE, [tree(name), ...command], { encoding: 'utf8', env, stdio: [...stdio] });
      return { code: done.status ?? -1, stdout: done.stdout, stderr: done.stderr };
    } finally {
      closeSync(leaked);
    }
  }

  async function contained({ command, options = [], tree: name = 'hostile' }: Attempt): Promise<Outcome> {
    const leaked = openSync(join(canary, 'private'), 'r');
    try {
      const args = [join(DIST, 'cli/lamina.js'), 'run', '--rm', '--network', 'host', ...options, name, ...command];
      const stdio = [
        'pipe',
        'pipe',
        'pipe',
        'ignore',
        'ignore',
        'ignore',
        'ignore',
        'ignore',
        'ignore',
        leaked,
      ] as const;
      const child = spawn(process.execPath, args, {
        env: { ...process.env, LAMINA_ROOT: lamina.root },
        stdio: [...stdio],
      });
      child.stdin?.end();
      return await ended(child);
    } finally {
      closeSync(leaked);
    }
  }

  const isTouched = (): boolean =>
    readFileSync(join(canary, 'file'), 'utf8') !== 'untouched' ||
    readdirSync(canary).sort().join() !== 'file,private,proc';

  const shell = (script: string): readonly string[] => ['/bin/sh', '-c', script];

  // Where the host's secret is by its own path, and by ways around.
  const showSecret = (way: string) => shell(`cat ${way}/secret || true`);

  const ATTACKS: readonly (readonly [title: string, advisory: string, attempt: () => Attempt])[] = [
    [
      'a descriptor of the host that the runner leaves open',
      'CVE-2024-21626',
      () => ({ command: shell('for f in /proc/self/fd/*; do cat $f/secret; done; cat /proc/1/fd/*/secret; true') }),
    ],
    [
      'a working directory that is such a descriptor',
      'CVE-2024-21626',
      () => ({
        command: showSecret('.'),
        naive: { NAIVE_WORKDIR: '/proc/self/fd/9' },
        options: ['-w', '/proc/self/fd/9'],
      }),
    ],
    [
      'a mask taken from the image, whose /dev/null is a symlink to a file of the host',
      'CVE-2025-31133',
      () => ({ command: shell('echo owned >/proc/keys; true'), naive: { NAIVE_MASK: '/proc/keys' } }),
    ],
    [
      'a console taken from the image, whose /dev/pts/0 is a symlink to a file of the host',
      'CVE-2025-52565',
      () => ({ command: shell('echo owned >/dev/console; true'), naive: { NAIVE_CONSOLE: '1' }, options: ['-t'] }),
    ],
    [
      'a kernel parameter written through a symlink of the image',
      'CVE-2025-52881',
      () => ({
        command: shell('true'),
        naive: { NAIVE_SYSCTL: 'kernel/msgmax=owned' },
        options: ['--sysctl', 'kernel.msgmax=8192'],
      }),
    ],
    [
      'a volume whose target is a symlink out of the image',
      'CVE-2021-30465',
      () => ({
        command: shell('true'),
        naive: { NAIVE_VOLUME: `${canary}/private:/data/sub` },
        options: ['-v', `${canary}/private:/data/sub`],
      }),
    ],
    ['the root of process 1', 'proc(5)', () => ({ command: showSecret(`/proc/1/root${canary}/private`) })],
    [
      'a second chroot, and up from a directory outside of it',
      'chroot(2)',
      () => ({
        command: ['/bin/perl', '/bin/up', `${canary}/private/secret`],
      }),
    ],
    [
      'a device node of the image',
      'device nodes',
      () => ({ command: shell(`[ "$(head -c 1 /srv/zero | wc -c)" = 1 ] && printf '%s' '${SECRET}'; true`) }),
    ],
  ];

  test.each(ATTACKS)('%s (%s)', async (_title, _advisory, make) => {
    const attempt = make();
    const free = naive(attempt);
    expect(
      free.stdout.includes(SECRET) || isTouched(),
      `the attack works where nothing is done about it: ${free.stderr}`,
    ).toBe(true);
    writeFileSync(join(canary, 'file'), 'untouched');
    rmSync(join(canary, 'sub'), { recursive: true, force: true });
    const held = await contained(attempt);
    expect(held.stdout + held.stderr).not.toContain(SECRET);
    expect(isTouched(), held.stderr).toBe(false);
  });

  test('/proc of the image as a symlink to a directory of the host (CVE-2019-19921, CVE-2023-27561)', async () => {
    const proc = join(canary, 'proc');
    const free = naive({ command: shell('true'), naive: { NAIVE_SHOW_MOUNTS: '1' }, tree: 'linked' });
    expect(free.stdout).toContain(` ${proc} `);
    const held = await contained({ command: shell('readlink /proc; cat /proc/self/mountinfo'), tree: 'linked' });
    expect(held.code).toBe(0);
    const points = held.stdout.split('\n').map((line) => line.split(' ')[4]);
    expect(points.filter((point) => point === '/proc' || point === proc)).toEqual(['/proc']);
    expect(held.stdout).not.toContain(`${proc}\n`);
  });

  test('the runtime overwritten by a script whose interpreter is /proc/self/exe (CVE-2019-5736)', async () => {
    const hash = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
    const runtime = join(canary, 'runtime');
    copyFileSync(PERL, runtime);
    chmodSync(runtime, 0o755);
    const before = hash(runtime);
    naive({ command: ['/bin/exe-perl'], naive: { NAIVE_RUNTIME: runtime } });
    expect(hash(runtime), 'the attack works where nothing is done about it').not.toBe(before);

    const node = join(canary, 'node');
    cpSync(process.execPath, node);
    const args = [join(DIST, 'cli/lamina.js'), 'run', '--rm', '--network', 'host', 'hostile', '/bin/exe-node'];
    const held = await ended(
      spawn(node, args, { env: { ...process.env, LAMINA_ROOT: lamina.root }, stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    // It ran, and what it found was a file on a read-only mount, not only one that is busy.
    expect(held.stdout, held.stderr).toContain('refused: EROFS');
    expect(hash(node)).toBe(hash(process.execPath));
  });

  test('cp through a symlink of the container (CVE-2018-15664)', async () => {
    const file = join(base, 'copied');
    writeFileSync(file, 'owned');
    execFileSync('cp', [file, join(tree('hostile'), 'data/file')]);
    expect(isTouched(), 'the attack works where nothing is done about it').toBe(true);
    writeFileSync(join(canary, 'file'), 'untouched');
    const running = lamina.start([
      'run',
      '--rm',
      '--network',
      'host',
      '-i',
      '--name',
      'target',
      'hostile',
      ...shell('echo up; read x'),
    ]);
    const over = ended(running);
    await new Promise((resolve) => running.stdout?.once('data', resolve));
    await lamina.call(['cp', file, 'target:/data/file']);
    const out = await lamina.call(['cp', 'target:/data/private/secret', '-']);
    running.stdin?.end('\n');
    expect((await over).code).toBe(0);
    expect(isTouched()).toBe(false);
    expect(out.stdout).not.toContain(SECRET);
  });

  test('a setuid file of an image, executed by another user of the host (CVE-2021-41091)', () => {
    const find = (path: string): string =>
      spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', 'find', path, '-perm', '-4000'], {
        encoding: 'utf8',
      }).stdout;
    expect(find(tree('hostile')), 'where nothing is done about it').toContain('/srv/suid');
    expect(find(lamina.root)).toBe('');
  });

  const rootless = firstMissing(hasUserNamespaces(), has('newuidmap'));

  test.skipIf(rootless)(titled('device and setuid files of an image of an ordinary user', rootless), async () => {
    const user = makeUser(`lamesc${process.pid % 10_000}`, { start: 700_000, count: 65_536 });
    const own = new Lamina(user);
    try {
      expect((await own.call(['import', join(base, 'hostile.tar'), 'hostile'])).code).toBe(0);
      const script =
        '[ "$(head -c 1 /srv/zero | wc -c)" = 1 ] && echo opened; cat /proc/self/uid_map; stat -c "%A %u" /srv/suid';
      const { stdout } = await own.call(['run', '--rm', 'hostile', ...shell(script)]);
      // Root inside is the user outside, so that the file gives nobody more than that.
      expect(stdout).not.toContain('opened');
      expect(stdout).toMatch(new RegExp(`^ +0 +${user.uid} +1$`, 'm'));
      expect(stdout).toContain('-rwsr-xr-x 0');
      const setuid = execFileSync('find', [own.root, '-perm', '-4000', '-uid', '0'], { encoding: 'utf8' });
      expect(setuid).toBe('');
    } finally {
      await own.close();
      removeUser(user.name);
    }
  });

  const noInjection =
    readSetting('/proc/sys/dev/tty/legacy_tiocsti') === '1' ? undefined : 'the kernel takes no TIOCSTI';

  test.skipIf(noInjection)(
    titled('input typed into the terminal of the caller (CVE-2017-5226)', noInjection),
    async () => {
      const inject = '/bin/perl /bin/inject';
      const naiveCall = `NAIVE_CANARY=${canary} ${NAIVE} ${tree('hostile')} ${inject}`;
      const ways = [`run --rm -i hostile ${inject}`, `run --rm -it hostile ${inject}`];
      const calls = ways.map((way) => `${process.execPath} ${join(DIST, 'cli/lamina.js')} ${way}`);
      expect(await typed(naiveCall), 'the attack works where nothing is done about it').toContain(
        'host read: injected',
      );
      for (const call of calls) expect(await typed(call), call).toMatch(/host read: \r?\n/);
    },
  );

  /** What a shell on a terminal finds typed after a command; its own input is open, and nothing is typed. */
  async function typed(command: string): Promise<string> {
    const file = join(base, 'typed.sh');
    writeFileSync(file, `${command}\nread -t 1 line\necho "host read: $line"\n`);
    const env = { ...process.env, LAMINA_ROOT: lamina.root };
    return (await ended(spawn('script', ['-qec', `bash ${file}`, '/dev/null'], { env }))).stdout;
  }
});

const PROGRAMS = {
  up: 'mkdir "/x"; chroot "/x"; chdir ".." for 1..64; chroot "."; open F, "<", $ARGV[0] and print <F>;\n',
  // TIOCSTI.
  inject: 'ioctl STDIN, 0x5412, $_ for split //, "injected\\n";\n',
  // What is executed as a script is the runtime itself, which the script then has a descriptor of.
  // That of the naive runner: it overwrites the runtime once nobody executes it any more.
  'exe-perl':
    '#!/perl/self/exe\n' +
    'open F, "<", "/proc/self/exe"; fcntl F, 2, 0; exec "/bin/sh", "-c", "echo owned >/proc/self/fd/" . fileno F;\n',
  // Node's, which is executed by the client, too: to see whether it can be changed at all, another change is tried.
  'exe-node':
    "#!/proc/self/exe\nconst fs = require('fs');\n" +
    "try { fs.fchmodSync(fs.openSync('/proc/self/exe', 'r'), 0o755); console.log('changed'); } catch (error) { console.log('refused: ' + error.code); }\n",
};

function librariesOf(program: string): string[] {
  const listed = spawnSync('ldd', [program], { encoding: 'utf8' }).stdout;
  return [...listed.matchAll(/(?:^|\s)(\/[^\s:]+) \(0x/gm)].map((match) => match[1] ?? '');
}

function readSetting(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
