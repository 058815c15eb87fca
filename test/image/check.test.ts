import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { DEFAULT_LIMITS } from '../../runner/image/limits.ts';
import { parsePlatform } from '../../runner/image/platform.ts';
import { pullImage } from '../../runner/image/pull.ts';
import { parseReference } from '../../runner/image/reference.ts';
import { Registry } from '../../runner/image/registry/registry.ts';
import { type Store } from '../../runner/image/store.ts';
import { Warnings } from '../../runner/image/warnings.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, sha256, tar } from './archives.ts';
import { check } from './check-store.ts';
import { CommandLine } from './command-line.ts';
import { FakeRegistry } from './fake-registry.ts';
import { load, newStore, run } from './ground.ts';

const BOTTOM = tar(
  { name: 'd/', type: '5', mode: 0o750, uid: 5, gid: 6 },
  {
    name: 'd/f',
    data: 'content',
    uid: 7,
    gid: 8,
    mode: 0o4755,
    pax: { mtime: '7.123456789', 'SCHILY.xattr.user.a': 'b' },
  },
  { name: 'd/linked', type: '1', linkname: 'd/f' },
  { name: 'd/alone', data: 'content' },
  { name: 'd/symlink', type: '2', linkname: 'f' },
  { name: 'gone', data: 'x' },
  { name: 'fifo', type: '6' },
  { name: 'null', type: '3', major: 1, minor: 3 },
  { name: 'large', data: Buffer.concat([Buffer.alloc(1 << 18), Buffer.from('end')]) },
);
const TOP = tar({ name: '.wh.gone' }, { name: 'd/new', data: 'new' }, { name: 'opaque/', type: '5' });
const IMAGE = { layers: [BOTTOM, TOP], names: ['app:1'], architecture: 'amd64' };

async function loaded(): Promise<{ store: Store; bottom: string; top: string }> {
  const store = newStore();
  await load(store, dockerArchive(IMAGE));
  const [top = '', bottom = ''] = store.resolve('app:1').layers;
  return { store, bottom, top };
}

/** A blob's file, made writable. */
function blob(store: Store, digest: string): string {
  const path = join(store.root, 'blobs/sha256', digest.replace('sha256:', ''));
  chmodSync(path, 0o600);
  return path;
}

describe.skipIf(isRoot())(titled('StoreCheck of unpacked layers', isRoot()), () => {
  test('finds nothing in what has just been unpacked, and leaves nothing behind', async () => {
    const { store, bottom } = await loaded();
    expect(await check(store)).toEqual([]);
    expect(readdirSync(join(bottom, 'd')).sort()).toEqual(['alone', 'f', 'linked', 'symlink']);
    expect(readdirSync(join(store.root, 'tmp'))).toEqual([]);
  });

  const restored = (path: string): void => utimesSync(path, 1e9, 1e9);
  const damages: readonly (readonly [what: string, damage: (root: string) => void, message: RegExp])[] = [
    [
      'one byte of a file',
      (root) => {
        writeFileSync(join(root, 'd/alone'), 'Content');
        restored(join(root, 'd/alone'));
      },
      /\/d\/alone has another content/,
    ],
    [
      'a byte behind a hole',
      (root) => {
        writeFileSync(join(root, 'large'), Buffer.concat([Buffer.alloc(1 << 18), Buffer.from('eNd')]));
        restored(join(root, 'large'));
      },
      /\/large has another content/,
    ],
    ['a file that grew', (root) => appendFileSync(join(root, 'gone'), 'y'), /\/gone has size 2, where 1 is expected/],
    ['a mode', (root) => chmodSync(join(root, 'd/alone'), 0o666), /\/d\/alone has type and mode 100666, where 100644/],
    ['an owner', (root) => chownSync(join(root, 'fifo'), 9, 9), /\/fifo has owner 9:9, where 0:0/],
    ['a time', (root) => lutimesSync(join(root, 'd/symlink'), 5, 5), /\/d\/symlink has mtime 5\.000000000/],
    ["a directory's owner", (root) => chownSync(join(root, 'd'), 0, 6), /\/d has owner 0:6, where 5:6/],
    [
      'an extended attribute',
      (root) => run('setfattr', '-n', 'user.a', '-v', 'c', join(root, 'd/f')),
      /user\.a 63, where 62/,
    ],
    [
      'one too many',
      (root) => run('setfattr', '-n', 'user.z', '-v', 'c', join(root, 'large')),
      /user\.z, which is not in/,
    ],
    ['one too few', (root) => run('setfattr', '-x', 'user.a', join(root, 'd/f')), /user\.a none, where 62/],
    [
      'a file that is not in the archive',
      (root) => writeFileSync(join(root, 'd/extra'), ''),
      /\/d\/extra is not in the archive/,
    ],
    ['a file that is gone', (root) => unlinkSync(join(root, 'null')), /\/null is missing/],
    [
      'a directory in the place of a file',
      (root) => {
        unlinkSync(join(root, 'gone'));
        mkdirSync(join(root, 'gone'));
      },
      /\/gone has type and mode 40755, where 100644/,
    ],
    [
      'a symlink that leads out',
      (root) => {
        unlinkSync(join(root, 'd/symlink'));
        symlinkSync('/etc/passwd', join(root, 'd/symlink'));
      },
      /\/d\/symlink has target "\/etc\/passwd", where "f"/,
    ],
    [
      'a hard link that is one no more',
      (root) => {
        run('cp', '-a', join(root, 'd/f'), join(root, 'd/copy'));
        renameSync(join(root, 'd/copy'), join(root, 'd/linked'));
      },
      /\/d\/linked is another file than those that it is a hard link of/,
    ],
    [
      'a hard link to another file',
      (root) => {
        unlinkSync(join(root, 'd/linked'));
        linkSync(join(root, 'large'), join(root, 'd/linked'));
      },
      /\/d\/linked has/,
    ],
  ];

  test.each(damages)('finds %s in one line, and repairs it', async (_what, damage, message) => {
    const { store, bottom } = await loaded();
    damage(bottom);
    const found = await check(store);
    expect(found).toHaveLength(1);
    expect(found[0]?.subject).toBe(`layer sha256:${sha256(BOTTOM)}`);
    expect(found[0]?.problem).toMatch(message);
    expect(found[0]).toMatchObject({ remedy: '--repair unpacks it again', repaired: false });
    // Of what a layer's root lost or got, its index tells.
    const quickly = await check(store, { quick: true, repair: true });
    expect(quickly.filter(({ subject }) => !subject.startsWith('index of layer '))).toEqual([]);
    // An index of what was not compared would say that it is as it should be.
    expect(quickly.filter(({ repaired }) => repaired)).toEqual([]);
    expect(await check(store, { repair: true })).toMatchObject([{ repaired: true }]);
    expect(await check(store)).toEqual([]);
    expect(readdirSync(join(store.root, 'tmp'))).toEqual([]);
  });

  test('finds a whiteout that is gone, and a layer that is gone below another', async () => {
    const { store, bottom, top } = await loaded();
    unlinkSync(join(top, 'gone'));
    expect(await check(store)).toMatchObject([{ problem: expect.stringMatching(/\/gone is missing/) as string }]);
    rmSync(bottom, { recursive: true });
    expect((await check(store)).map(({ problem }) => problem)).toEqual([
      'is missing, though layers above it are there',
      // Of the top one, which is looked at no closer meanwhile.
      'is of another layer, or of what this one was before',
    ]);
    expect(await check(store, { repair: true })).toHaveLength(2);
    expect(await check(store)).toEqual([]);
  });

  test('repairs no layer that a container runs on', async () => {
    const { store, top } = await loaded();
    writeFileSync(join(top, 'x'), '');
    expect(await check(store, { repair: true, runsOn: 'web' })).toMatchObject([
      { repaired: false, remedy: 'could not be repaired: container web runs on it: end it, and check again' },
    ]);
    expect(readdirSync(top)).toContain('x');
  });

  test('makes a lost record anew', async () => {
    const { store, top } = await loaded();
    rmSync(`${top}.json`);
    expect(await check(store, { repair: true })).toMatchObject([
      { problem: 'has lost the record of its size', repaired: true },
    ]);
    expect(store.sizeOf(store.resolve('app:1'))).toBeGreaterThan(0);
    expect(await check(store)).toEqual([]);
  });
});

describe.skipIf(isRoot())(titled('StoreCheck of blobs', isRoot()), () => {
  async function pulled(): Promise<{ store: Store; remote: FakeRegistry }> {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM, TOP]);
    const reference = parseReference(`${remote.host}/team/app:1.0`);
    const registry = new Registry(reference, { credentials: undefined, tlsVerify: true, backOff: 1 });
    await pullImage(store, registry, reference, {
      platform: parsePlatform('linux/amd64'),
      limits: DEFAULT_LIMITS,
      warnings: new Warnings(),
      progress: { begin: () => () => undefined, settle: () => undefined },
    });
    await registry.close();
    return { store, remote };
  }

  test('finds those that are damaged, cut or missing, whichever they are, and fetches them from where they came', async () => {
    const { store, remote } = await pulled();
    expect(await check(store)).toEqual([]);
    const [image] = store.list();
    const parts = [image?.manifests[0] ?? '', image?.id ?? '', `sha256:${sha256(BOTTOM)}`];
    const damages = [
      (path: string): void => appendFileSync(path, 'x'),
      (path: string): void => unlinkSync(path),
      (path: string): void => writeFileSync(path, Buffer.alloc(1)),
    ];
    for (const part of parts) {
      for (const damage of damages) {
        damage(blob(store, part));
        const found = await check(store, { quick: true });
        expect(found.filter(({ subject }) => subject.startsWith(`blob ${part}`))).toHaveLength(1);
        expect(found[0]?.remedy).toContain(`--repair fetches it from ${remote.host}/team/app@sha256:`);
        expect(await check(store, { repair: true })).toMatchObject([{ repaired: true }]);
        expect(await check(store)).toEqual([]);
      }
    }
  });

  test('finds a changed byte of a layer, but not in a quick check', async () => {
    const { store } = await pulled();
    const other = Buffer.from(BOTTOM);
    other[600] = 1 ^ (other[600] ?? 0);
    writeFileSync(blob(store, sha256(BOTTOM)), other);
    expect(await check(store, { quick: true })).toEqual([]);
    const found = await check(store);
    expect(found).toHaveLength(1);
    expect(found[0]?.problem).toMatch(/^has another content: its digest is sha256:/);
  });

  test('says why one cannot be fetched', async () => {
    const { store, remote } = await pulled();
    unlinkSync(blob(store, sha256(TOP)));
    remote.blobs.clear();
    expect(await check(store, { repair: true })).toMatchObject([
      {
        repaired: false,
        remedy: expect.stringMatching(/^could not be repaired: 127\.0\.0\.1:\d+ has no blob sha256:/) as string,
      },
    ]);
  });

  test('says what to do where it is not known from where it came', async () => {
    const { store } = await loaded();
    unlinkSync(blob(store, sha256(TOP)));
    expect(await check(store, { repair: true })).toMatchObject([
      { subject: `blob sha256:${sha256(TOP)} of image app:1`, problem: 'is missing', repaired: false },
    ]);
  });

  test('removes a damaged one that nothing needs', async () => {
    const { store } = await loaded();
    const spare = join(store.root, 'blobs/sha256', 'c'.repeat(64));
    writeFileSync(spare, 'something else');
    expect(await check(store, { repair: true })).toMatchObject([
      { subject: `blob sha256:${'c'.repeat(64)}`, repaired: true },
    ]);
    expect(await check(store)).toEqual([]);
  });
});

describe.skipIf(isRoot())(titled('lamina system check', isRoot()), () => {
  test('tells what it finds in lines and by its exit status', () => {
    const line = new CommandLine();
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
    line.output(['load'], dockerArchive({ ...IMAGE, architecture }));
    expect(line.output(['system', 'check'])).toBe(`${line.root}: clean (1 images, 4 blobs, 2 layers, 0 containers)\n`);
    const bottom = join(line.root, 'layers', sha256(BOTTOM));
    unlinkSync(join(bottom, 'fifo'));
    const found = line.call(['system', 'check']);
    expect(found.status).toBe(4);
    expect(found.stdout).toMatch(
      /^layer sha256:[0-9a-f]+: is not what .*; --repair unpacks it again\n.*: 0 repaired, 1 left/,
    );
    expect(line.call(['system', 'check', '--repair'])).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(/; repaired\n.*: 1 repaired, 0 left/) as string,
    });
    expect(line.call(['system', 'check', '--json']).stdout).toMatch(/^\{\n {2}"problems": \[\]/);
    expect(line.call(['system', 'check', '--nonsense']).status).toBe(16);
    writeFileSync(join(line.root, 'index.json'), '{');
    expect(line.call(['system', 'check'])).toMatchObject({ status: 8, stdout: '' });
  });

  test('counts what nothing needs, and calls the store clean', () => {
    const line = new CommandLine();
    line.output(['load'], dockerArchive({ ...IMAGE, architecture: process.arch === 'x64' ? 'amd64' : process.arch }));
    const bytes = Buffer.from('left by a process that was killed');
    writeFileSync(join(line.root, 'blobs/sha256', sha256(bytes)), bytes, { mode: 0o400 });
    expect(line.output(['system', 'check'])).toMatch(
      /: clean \(.*; 1 blobs, 0 layers, 0 containers that nothing needs \(33B\) go with/,
    );
  });
});
