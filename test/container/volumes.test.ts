import { spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Layer } from '../../runner/demo/image.ts';
import { temporary } from '../image/ground.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { Lamina, makeUser, recipe, removeUser, type User } from './lamina.ts';

const LONG = { timeout: 60_000 };

const FILES: Layer = {
  title: 'files',
  entries: [
    { type: 'directory', name: 'data', mode: 0o1777 },
    { type: 'file', name: 'data/f', content: 'image\n' },
    { type: 'link', name: 'data/hard', target: 'data/f' },
    { type: 'symlink', name: 'data/s', target: 'f' },
    { type: 'symlink', name: 'out', target: '../../../../../tmp' },
  ],
};

const missing = firstMissing(isRoot(), hasFuseDevice());

describe.skipIf(missing)(titled('volumes of lamina run', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny', [FILES]));
    await lamina.load(recipe('voluminous', [FILES], { Volumes: { '/data': {} } }));
  });
  afterAll(() => lamina.close());

  async function must(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await lamina.call(args);
    if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  const names = async (): Promise<string[]> => (await must('volume', 'ls', '-q')).split('\n').filter(Boolean);

  test('get what the image has at first use, with its owners, and keep what is written', LONG, async () => {
    const show = 'ls -lnd /data | { read -r m n u g rest; echo $m $u $g; }; cat /data/s; echo new >>/data/hard';
    await must('run', '--name', 'owner', 'tiny', 'chown', '7:8', '/data');
    await must('commit', '-q', 'owner', 'owned');
    await must('rm', 'owner');
    expect(await must('run', '--rm', '-v', 'v:/data', 'owned', 'sh', '-c', show)).toBe('drwxrwxrwt 7 8\nimage\n');
    expect(await must('run', '--rm', '-v', 'v:/data', 'tiny', 'cat', '/data/f')).toBe('image\nnew\n');
    const data = join(lamina.root, 'volumes/v/_data');
    expect(readdirSync(data).sort()).toEqual(['f', 'hard', 's']);
    expect(statSync(join(data, 'f')).ino).toBe(statSync(join(data, 'hard')).ino);
    expect(statSync(join(lamina.root, 'volumes/v')).mode & 0o777).toBe(0o700);
    expect(await must('run', '--rm', '-v', 'empty:/data:nocopy', 'tiny', 'ls', '/data')).toBe('');
    // One that a killed start left half full is filled anew.
    writeFileSync(join(lamina.root, 'volumes/empty/populating'), '');
    writeFileSync(join(lamina.root, 'volumes/empty/_data/half'), '');
    expect(await must('run', '--rm', '-v', 'empty:/data', 'tiny', 'ls', '/data')).toBe('f\nhard\ns\n');
  });

  test('of VOLUME are made for a container, shared by --volumes-from, and go with --rm', LONG, async () => {
    const before = await names();
    await must('run', '--rm', 'voluminous', 'sh', '-c', 'echo x >/data/x');
    expect(await names()).toEqual(before);
    await must('run', '--name', 'first', 'voluminous', 'sh', '-c', 'echo x >/data/x');
    const [made = ''] = (await names()).filter((name) => !before.includes(name));
    expect(made).toMatch(/^[0-9a-f]{64}$/);
    expect((await must('diff', 'first')).trim()).toBe('');
    expect(
      await must(
        'run',
        '--rm',
        '--volumes-from',
        'first:ro',
        'tiny',
        'sh',
        '-c',
        'cat /data/x; echo y >/data/x || true',
      ),
    ).toBe('x\n');
    const refused = await lamina.call(['volume', 'rm', made]);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/is in use by [0-9a-f]{12}: remove that first\n$/),
    ]);
    await must('rm', 'first');
    expect(await must('volume', 'prune', '-f')).toContain(made);
    await must('run', '--name', 'second', '-v', '/data', 'tiny', 'true');
    const old = await lamina.call(['system', 'prune', '-f', '--volumes', '--filter', 'until=1h']);
    expect(old).toMatchObject({ code: 1, stderr: expect.stringContaining('does not go with --volumes') as string });
    expect(await must('system', 'prune', '-f', '--volumes')).toMatch(/^Deleted Volumes:\n[0-9a-f]{64}$/m);
    expect(await names()).toEqual(before);
  });

  test('are bound with all modes, and none of them more than was asked for', LONG, async () => {
    const here = temporary();
    for (const name of ['source', 'source/below', 'given']) mkdirSync(join(here, name));
    writeFileSync(join(here, 'source/f'), 'f\n');
    writeFileSync(join(here, 'given/f'), '');
    chownSync(join(here, 'given/f'), 5, 5);
    symlinkSync('/etc/hostname', join(here, 'source/escape'));
    spawnSync('mount', ['-t', 'tmpfs', 'none', join(here, 'source/below')]);
    writeFileSync(join(here, 'source/below/inner'), '');
    const options = [
      ...[
        '-v',
        `${here}/source:/ro:ro,noexec,nosuid`,
        '-v',
        `${here}/source:/flat:bind`,
        '-v',
        `${here}/source:/over:O`,
      ],
      ...['-v', `${here}/given:/given:U,ro`, '--mount', `type=bind,src=${here}/source,dst=/sub,bind-subpath=x`],
    ];
    const given = options.slice(0, -2);
    const script = [
      'cat /proc/self/mountinfo | while read -r a b c d point options rest; do case $point in /ro|/flat|/over|/t) echo $point $options;; esac; done',
      'ls /ro/below /flat/below; for f in /ro/x /ro/below/x /over/x; do echo >$f || echo refused $f; done; rm /over/f; ls -n /given/f',
      'df -k /t | { read -r x; read -r a size rest; echo $size; }; ls -ld /t',
    ].join('; ');
    const { code, stdout } = await lamina.call([
      ...['run', '--rm', '-u', '1234', ...given, '--tmpfs', '/t:size=1m,exec,mode=1750', 'tiny', 'sh', '-c', script],
    ]);
    spawnSync('umount', [join(here, 'source/below')]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\/ro ro,nosuid,nodev,noexec,/m);
    expect(stdout).toMatch(/^\/flat rw,nodev,/m);
    expect(stdout).toMatch(/^\/over rw,nodev,/m);
    expect(stdout).toMatch(/^\/t rw,nosuid,nodev,relatime/m);
    expect(stdout).toContain('/ro/below:\ninner\n');
    expect(stdout).toContain('/flat/below:\n');
    expect(stdout.match(/inner/g)).toHaveLength(1);
    expect(stdout).toContain('refused /ro/x\nrefused /ro/below/x\n');
    expect(stdout).toMatch(/ 1234 +0 .* \/given\/f\n1024\ndrwxr-x--T/);
    expect(readdirSync(join(here, 'source')).sort()).toEqual(['below', 'escape', 'f']);
  });

  test('on a path that leads out of the image stay inside, also of a volume by its subpath', LONG, async () => {
    const here = temporary();
    mkdirSync(join(here, 'd'));
    symlinkSync('/etc', join(here, 'd/out'));
    const script = 'echo inside >/out/x; ls /tmp/x';
    expect(await must('run', '--rm', '-v', 'kept:/out', 'tiny', 'sh', '-c', script)).toBe('/tmp/x\n');
    expect(readFileSync(join(lamina.root, 'volumes/kept/_data/x'), 'utf8')).toBe('inside\n');
    symlinkSync('/etc', join(lamina.root, 'volumes/kept/_data/out'));
    const { code, stderr } = await lamina.call([
      ...['run', '--rm', '--mount', 'src=kept,dst=/m,volume-subpath=out', 'tiny', 'ls', '/m'],
    ]);
    expect([code, stderr]).toEqual([
      125,
      expect.stringMatching(/cannot open out in .*_data: no such file or directory/),
    ]);
  });

  test('tell each other of mounts where that is asked for', LONG, async () => {
    const here = temporary();
    const script = `mount --bind ${here} ${here} && mount --make-shared ${here} && mkdir ${here}/m && "$@"; umount -l ${here}`;
    const private_ = await lamina.call(['run', '--rm', '-v', `${here}:/v:shared`, 'tiny', 'true']);
    const program = [
      process.execPath,
      'dist/cli/lamina.js',
      'run',
      '--rm',
      '-v',
      `${here}:/v:rshared`,
      '-v',
      `${here}:/w:rslave`,
      'tiny',
    ];
    const probe =
      'cat /proc/self/mountinfo | while read -r a b c d point o tag rest; do case $point in /v|/w) echo $point $tag;; esac; done';
    const { stdout, stderr } = spawnSync(
      'unshare',
      ['--mount', 'sh', '-c', script, 'sh', ...program, 'sh', '-c', probe],
      {
        encoding: 'utf8',
        env: { ...process.env, LAMINA_ROOT: lamina.root },
      },
    );
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^\/v shared:\d+\n\/w master:\d+\n$/);
    const isShared = /^\S+ \S+ \S+ \S+ \/ .*shared:/m.test(readFileSync('/proc/self/mountinfo', 'utf8'));
    if (!isShared) expect(private_.stderr).toMatch(/is not a shared mount: mount --make-shared/);
  });

  test('are made, listed, inspected and pruned by name and label', LONG, async () => {
    expect(await must('volume', 'create', '-l', 'a=b', 'one')).toBe('one\n');
    await must('volume', 'create', 'two');
    expect(await must('volume', 'ls', '-q', '--filter', 'label=a')).toBe('one\n');
    expect(await must('volume', 'ls', '--filter', 'name=tw', '--format', '{{.Name}} {{.Driver}}')).toBe('two local\n');
    const [inspected] = JSON.parse(await must('volume', 'inspect', 'one')) as object[];
    expect(inspected).toMatchObject({ Name: 'one', Driver: 'local', Labels: { a: 'b' }, Scope: 'local' });
    expect(await must('volume', 'rm', 'one')).toBe('one\n');
    expect(await must('volume', 'prune', '-af', '--filter', 'size=1').catch(String)).toContain('is not KEY=VALUE');
    await must('volume', 'rm', 'two');
    for (const [args, message] of [
      [['volume', 'rm', 'none'], /no volume "none"/],
      [['volume', 'create', '../x'], /volume name "..\/x" is not valid/],
      [['run', '--rm', '-v', 'a:/x', '-v', 'b:/x', 'tiny'], /two mounts are asked for on \/x/],
      [['run', '--rm', '--volumes-from', 'none', 'tiny'], /no container "none"/],
    ] as const) {
      expect((await lamina.call(args)).stderr).toMatch(message);
    }
    expect(await must('run', '--rm', '--mount', 'type=image,src=tiny,dst=/i', 'tiny', 'cat', '/i/data/f')).toBe(
      'image\n',
    );
  });
});

const noUser = firstMissing(isRoot(), hasFuseDevice(), hasUserNamespaces(), has('useradd'), has('newuidmap'));

describe.skipIf(noUser)(titled('volumes of an ordinary user', noUser), () => {
  let user: User;
  let lamina: Lamina;

  beforeAll(async () => {
    user = makeUser('lamina-vol', { start: 730_000_000, count: 65_536 });
    lamina = new Lamina(user);
    await lamina.load(recipe('tiny', [FILES]));
  });
  afterAll(async () => {
    await lamina.close();
    removeUser(user.name);
  });

  test('get what the image has, are given to users, overlaid and removed', LONG, async () => {
    const home = `/home/${user.name}`;
    mkdirSync(join(home, 'public'), { mode: 0o777 });
    chownSync(join(home, 'public'), user.uid, user.uid);
    writeFileSync(join(home, 'public/f'), '');
    const args = ['-v', 'v:/data', '-v', 'w:/w:U', '-v', `${home}/public:/home:O,U`, '-u', '9:8'];
    const script =
      'cat /data/s; echo w >/w/w; ls -ln /w/w | { read -r m n u g rest; echo $u $g; }; echo no >/home/no; ls /home';
    const { code, stdout, stderr } = await lamina.call(['run', '--rm', ...args, 'tiny', 'sh', '-c', script]);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'image\n9 8\nf\nno\n', stderr: '' });
    expect(statSync(join(lamina.root, 'volumes/w/_data/w')).uid).toBe(730_000_008);
    expect(readdirSync(join(home, 'public'))).toEqual(['f']);
    expect((await lamina.call(['volume', 'rm', 'v', 'w'])).stdout).toBe('v\nw\n');
  });
});
