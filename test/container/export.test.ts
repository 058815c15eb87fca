import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Layer } from '../../runner/demo/image.ts';
import { run, snapshot, temporary } from '../image/ground.ts';
import { Podman } from '../image/podman.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { ended, Lamina, makeUser, recipe, removeUser, type User, wrote } from './lamina.ts';

const FILES: Layer = {
  title: 'files',
  entries: [
    { type: 'file', name: 'data/a', content: 'a\n' },
    { type: 'file', name: 'data/b', content: 'b\n' },
    { type: 'file', name: 'etc/hostname', content: "the image's own\n" },
  ],
};

const CHANGE =
  'cd /data && ln b link && echo x >>b && rm a && mkdir /own /own/.wh.dir && mv /data /moved && ln -s a /own/s';
const LONG = { timeout: 30_000 };

/** Names in an archive, as tar lists them. */
function namesIn(path: string): string[] {
  return run('tar', '-tf', path).trim().split('\n');
}

function contentOf(path: string, name: string): string {
  return run('tar', '-xOf', path, name);
}

/** The archive's tree, unpacked by GNU tar. */
function unpacked(path: string): string {
  const directory = temporary();
  run('tar', '-xpf', path, '-C', directory, '--xattrs', '--xattrs-include=*');
  return directory;
}

const missing = firstMissing(isRoot(), hasFuseDevice());

describe.skipIf(missing)(titled('lamina export', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny', [FILES]));
  });
  afterAll(() => lamina.close());

  async function must(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await lamina.call(args);
    if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** A container that has ended, and its archive. */
  async function exported(name: string, script: string, ...options: readonly string[]): Promise<string> {
    await must('run', '--name', name, ...options, 'tiny', 'sh', '-c', script);
    const path = join(temporary(), `${name}.tar`);
    expect(await must('export', '-o', path, name)).toBe('');
    return path;
  }

  test('has what the container sees of its own, moved directories and changed hard links too', LONG, async () => {
    const path = await exported('changed', CHANGE);
    const tree = unpacked(path);
    expect(readdirSync(join(tree, 'moved')).sort()).toEqual(['b', 'link']);
    expect(readFileSync(join(tree, 'moved/link'), 'utf8')).toBe('b\nx\n');
    expect(statSync(join(tree, 'moved/b')).ino).toBe(statSync(join(tree, 'moved/link')).ino);
    expect(readdirSync(join(tree, 'own')).sort()).toEqual(['.wh.dir', 's']);
    expect(existsSync(join(tree, 'data'))).toBe(false);
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(lamina.root);
  });

  test('leaves out what is mounted over the filesystem, as docker does', LONG, async () => {
    const volume = temporary();
    writeFileSync(join(volume, 'secret'), '');
    const tree = unpacked(await exported('volumes', 'ls /data >/dev/null', '-v', `${volume}:/data`));
    expect(readdirSync(join(tree, 'data')).sort()).toEqual(['a', 'b']);
    for (const name of ['hosts', 'hostname', 'resolv.conf']) expect(statSync(join(tree, 'etc', name)).size).toBe(0);
    for (const name of ['proc', 'sys']) expect(readdirSync(join(tree, name))).toEqual([]);
    expect(existsSync(join(tree, 'dev/null'))).toBe(false);
  });

  test('is the same bytes each time', LONG, async () => {
    const first = await exported('same', CHANGE);
    const second = join(temporary(), 'second.tar');
    await must('export', '-o', second, 'same');
    expect(readFileSync(second).equals(readFileSync(first))).toBe(true);
  });

  test('reads a container that runs, and does not stop it', LONG, async () => {
    const child = lamina.start(['run', '-i', '--name', 'running', 'tiny', 'sh', '-c', `${CHANGE}; echo up; cat`]);
    const end = ended(child);
    await wrote(child, 'up');
    const path = join(temporary(), 'running.tar');
    await must('export', '-o', path, 'running');
    expect(contentOf(path, 'moved/b')).toBe('b\nx\n');
    child.stdin?.end('still there');
    expect(await end).toMatchObject({ code: 0, stdout: 'up\nstill there' });
  });

  test('becomes an image of one layer by lamina import, and shows the same', LONG, async () => {
    const path = await exported('again', 'echo new >/data/c; chmod 4711 /data/c');
    const id = (await must('import', '-m', 'from a container', path, 'again:1')).trim();
    const [image] = JSON.parse(await must('image', 'inspect', id)) as Record<string, unknown>[];
    expect(image).toMatchObject({ Id: id, RepoTags: ['again:1'], History: [{ comment: 'from a container' }] });
    const shown = await must('run', '--rm', 'again:1', '/bin/sh', '-c', 'cat /data/c; ls -l /data/c');
    expect(shown).toMatch(/^new\n-rws--x--x/);
  });

  test('can be killed, and leaves nothing in the way of another', LONG, async () => {
    const many = 'mkdir /many; i=0; while [ $i -lt 2000 ]; do echo >/many/$i; i=$((i+1)); done';
    await must('run', '--name', 'killed', 'tiny', 'sh', '-c', many);
    // In the middle of a read of the mount, one that served it itself would never end.
    for (const [signal, pause] of [
      ['SIGKILL', 150],
      ['SIGKILL', 350],
      ['SIGKILL', 500],
      ['SIGKILL', 650],
      ['SIGTERM', 400],
    ] as const) {
      const directory = temporary();
      const child = lamina.start(['export', '-o', join(directory, 'x.tar'), 'killed']);
      const end = ended(child);
      await new Promise((resolve) => setTimeout(resolve, pause));
      child.kill(signal);
      await end;
      const whole = readdirSync(directory);
      expect(whole.filter((name) => name !== 'x.tar')).toEqual([]);
      if (whole.length > 0) expect(namesIn(join(directory, 'x.tar'))).toContain('data/a');
    }
    const path = join(temporary(), 'whole.tar');
    await must('export', '-o', path, 'killed');
    expect(namesIn(path)).toContain('data/a');
    await must('rm', 'killed');
  });

  test('leaves nothing where the disk is full', LONG, async () => {
    await must('run', '--name', 'full', 'tiny', 'true');
    const small = temporary();
    run('mount', '-t', 'tmpfs', '-o', 'size=1m', 'none', small);
    try {
      const { code, stderr } = await lamina.call(['export', '-o', join(small, 'x.tar'), 'full']);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^lamina: cannot export full to \S+: .*no space left on device.*\n$/i);
      expect(readdirSync(small)).toEqual([]);
    } finally {
      run('umount', small);
    }
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(lamina.root);
  });

  test('says what is not there', async () => {
    const { code, stderr } = await lamina.call(['export', 'nobody']);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no container "nobody"/) as string,
    });
    await must('run', '--name', 'there', 'tiny', 'true');
    const outcome = await lamina.call(['export', '-o', '/nonexistent/x.tar', 'there']);
    expect(outcome.stderr).toMatch(/^lamina: cannot export there to \/nonexistent\/x.tar: .*no such file.*\n$/);
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(lamina.root);
  });

  const noPodman = has('podman');

  test.skipIf(noPodman)(titled('has the same entries as podman export of the same image', noPodman), LONG, async () => {
    const ours = unpacked(await exported('compared', 'true'));
    const archive = join(temporary(), 'tiny.tar');
    await must('save', '-o', archive, 'tiny');
    const podman = new Podman();
    podman.call('load', '-i', archive);
    podman.call('create', '--name', 'c', 'tiny', 'true');
    const theirs = join(temporary(), 'theirs.tar');
    podman.call('export', '-o', theirs, 'c');
    // What the init layers have is each one's own.
    const own = /^(?:\.|dev|proc|run|sys|tmp|etc|etc\/(?:hosts|hostname|resolv\.conf|mtab))(?:\/.*)? /;
    const tree = (path: string): string[] => snapshot(path, false).filter((line) => !own.test(line));
    expect(tree(ours)).toEqual(tree(unpacked(theirs)));
    expect(tree(ours).length).toBeGreaterThan(20);
  });
});

describe.skipIf(isRoot())(titled('lamina import', isRoot()), () => {
  let lamina: Lamina;

  beforeAll(() => {
    lamina = new Lamina();
  });
  afterAll(() => lamina.close());

  function makeTree(): string {
    const tree = temporary();
    mkdirSync(join(tree, 'd'));
    writeFileSync(join(tree, 'd/f'), 'content', { mode: 0o640 });
    return tree;
  }

  async function imported(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await lamina.call(['import', ...args], {
      env: { SOURCE_DATE_EPOCH: '1700000000' },
    });
    if (code !== 0) throw new Error(stderr);
    return stdout.trim();
  }

  test('takes a directory, and makes the same image of it each time', async () => {
    const tree = makeTree();
    const id = await imported(tree, 'tree');
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(await imported(tree)).toBe(id);
    const { stdout } = await lamina.call(['image', 'inspect', 'tree']);
    expect(JSON.parse(stdout)).toMatchObject([
      { Id: id, Created: '2023-11-14T22:13:20Z', RepoTags: ['tree:latest'], Size: 7 },
    ]);
  });

  test.each(['none', 'gzip', 'zstd', 'xz'])('takes an archive packed by tar, compressed with %s', async (program) => {
    const archive = join(temporary(), 'tree.tar');
    run('tar', '-cf', archive, '-C', makeTree(), '.');
    if (program !== 'none') run('sh', '-c', `${program} -c ${archive} >${archive}.new && mv ${archive}.new ${archive}`);
    const id = await imported(archive, `packed:${program}`);
    const [image] = JSON.parse((await lamina.call(['image', 'inspect', id])).stdout) as { ChainIDs: string[] }[];
    const layer = join(lamina.root, 'layers', (image?.ChainIDs[0] ?? '').slice('sha256:'.length));
    expect(readFileSync(join(layer, 'd/f'), 'utf8')).toBe('content');
    expect(statSync(join(layer, 'd/f')).mode & 0o7777).toBe(0o640);
  });

  test('takes a URL, and says what the server answers otherwise', async () => {
    const archive = join(temporary(), 'tree.tar');
    run('tar', '-czf', archive, '-C', makeTree(), '.');
    const server = createServer((request, response) => {
      if (request.url === '/tree.tar.gz') response.end(readFileSync(archive));
      else response.writeHead(404).end();
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    try {
      const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      expect(await imported(`${base}/tree.tar.gz`)).toBe(
        await imported('-m', `Imported from ${base}/tree.tar.gz`, archive),
      );
      const { code, stderr } = await lamina.call(['import', `${base}/none`]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^lamina: cannot import \S+: the server answers 404 Not Found\n$/);
    } finally {
      server.close();
    }
  });

  test('sets how the image is started, as lamina commit does', async () => {
    const changes = ['CMD ["sh", "-c", "id"]', 'ENV A=1', 'WORKDIR /d', 'LABEL x=y'];
    const id = await imported(makeTree(), ...changes.flatMap((change) => ['-c', change]));
    const [image] = JSON.parse((await lamina.call(['image', 'inspect', id])).stdout) as { Config: object }[];
    expect(image?.Config).toMatchObject({
      Cmd: ['sh', '-c', 'id'],
      Env: ['A=1'],
      WorkingDir: '/d',
      Labels: { x: 'y' },
    });
    const { code, stderr } = await lamina.call(['import', '-c', 'RUN id', makeTree()]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^lamina: cannot import \S+: --change "RUN id": it is none of the instructions .*\n$/);
  });

  test('refuses what is no root filesystem, in one line, and keeps nothing', async () => {
    const directory = temporary();
    const broken = join(directory, 'broken.tar');
    writeFileSync(broken, Buffer.alloc(5000, 'x'));
    mkdirSync(join(directory, 'hidden'));
    writeFileSync(join(directory, 'hidden/.wh.x'), '');
    const before = readdirSync(join(lamina.root, 'blobs/sha256')).length;
    for (const [source, message] of [
      [broken, /no tar archive/],
      [join(directory, 'none'), /no such file/],
      [join(directory, 'hidden'), /begins with ".wh." hides another/],
      ['http://127.0.0.1:1/x', /cannot import http:\/\/127.0.0.1:1\/x: /],
    ] as const) {
      const { code, stdout, stderr } = await lamina.call(['import', source]);
      expect({ code, stdout, lines: stderr.split('\n').length }).toEqual({ code: 1, stdout: '', lines: 2 });
      expect(stderr).toMatch(message);
    }
    expect(readdirSync(join(lamina.root, 'blobs/sha256'))).toHaveLength(before);
    expect(readdirSync(join(lamina.root, 'tmp'))).toEqual([]);
  });
});

const noUser = firstMissing(isRoot(), hasFuseDevice(), hasUserNamespaces(), has('useradd'), has('newuidmap'));

describe.skipIf(noUser)(titled('lamina export of an ordinary user', noUser), () => {
  let user: User;
  let lamina: Lamina;

  beforeAll(async () => {
    user = makeUser('lamina-export', { start: 710_000_000, count: 65_536 });
    lamina = new Lamina(user);
    await lamina.load(recipe('tiny', [FILES]));
  });
  afterAll(async () => {
    await lamina.close();
    removeUser(user.name);
  });

  test('reads a container that has ended, and one that runs, with the owners that it sees', LONG, async () => {
    const child = lamina.start([
      'run',
      '-i',
      '--name',
      'c',
      'tiny',
      'sh',
      '-c',
      `${CHANGE}; chown 5:6 /own; echo up; cat`,
    ]);
    const end = ended(child);
    await wrote(child, 'up');
    const paths = ['running', 'ended'].map((name) => `/home/${user.name}/${name}.tar`);
    expect(await lamina.call(['export', '-o', paths[0] ?? '', 'c'])).toMatchObject({ code: 0, stderr: '' });
    child.stdin?.end();
    await end;
    expect(await lamina.call(['export', '-o', paths[1] ?? '', 'c'])).toMatchObject({ code: 0, stderr: '' });
    for (const path of paths) {
      expect(contentOf(path, 'moved/b')).toBe('b\nx\n');
      expect(spawnSync('tar', ['-tvf', path, 'own'], { encoding: 'utf8' }).stdout).toMatch(/^drwxr-xr-x 5\/6 /);
      expect(statSync(path).uid).toBe(user.uid);
      rmSync(path);
    }
  });
});
