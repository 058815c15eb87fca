import { once } from 'node:events';
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';

import { squashImage, type SquashOptions } from '../../runner/container/squash.ts';
import { DEFAULT_LIMITS } from '../../runner/image/limits.ts';
import { type Store } from '../../runner/image/store.ts';
import { Warnings } from '../../runner/image/warnings.ts';
import { firstMissing, has, hasKernelOverlay, isRoot, titled } from '../support/requirements.ts';
import { type ArchiveEntry, dockerArchive, sha256, tar } from './archives.ts';
import { CommandLine } from './command-line.ts';
import { load, newStore, run, snapshot, temporary } from './ground.ts';

const MACHINE = process.arch === 'x64' ? 'amd64' : process.arch;
const PLATFORM = { os: 'linux', architecture: MACHINE, variant: '' };

/** The image as the kernel's own union shows it. */
function merged(store: Store, reference: string): string[] {
  const mountpoint = temporary();
  // overlayfs wants two lowers where there is no upper.
  const lowers = [...store.resolve(reference).layers, temporary()];
  run('mount', '-t', 'overlay', 'overlay', '-o', `lowerdir=${lowers.join(':')}`, mountpoint);
  try {
    return snapshot(mountpoint);
  } finally {
    run('umount', mountpoint);
  }
}

async function storeOf(layers: readonly Buffer[], more: object = {}): Promise<Store> {
  const store = newStore();
  await load(store, dockerArchive({ layers, names: ['image'], architecture: MACHINE, ...more }), {
    platform: PLATFORM,
  });
  return store;
}

function squash(store: Store, options: Partial<SquashOptions> = {}): Promise<string> {
  return squashImage(store, 'image', { limits: DEFAULT_LIMITS, warnings: new Warnings(), ...options });
}

const LAYERS = [
  tar(
    { name: 'd/', type: '5', mode: 0o750, uid: 5, gid: 6, mtime: 9 },
    { name: 'd/a', data: 'a', pax: { 'SCHILY.xattr.user.x': 'y', mtime: '7.123456789' } },
    { name: 'd/b', type: '1', linkname: 'd/a' },
    { name: 'gone', data: 'x' },
    { name: 'opaque/', type: '5' },
    { name: 'opaque/below', data: 'x' },
    { name: 'swap/', type: '5' },
    { name: 'swap/inner', data: 'x' },
  ),
  tar({ name: 'd/c', data: 'c', mode: 0o4755 }, { name: 'null', type: '3', major: 1, minor: 3 }),
  tar(
    { name: '.wh.gone' },
    { name: 'd/.wh.c' },
    { name: '.wh.swap' },
    { name: 'swap', type: '2', linkname: 'd' },
    { name: 'opaque/', type: '5' },
    { name: 'opaque/.wh..wh..opq' },
    { name: 'opaque/above', data: 'x' },
  ),
  tar({ name: 'gone/', type: '5' }, { name: 'gone/back', data: 'x' }, { name: 'caf\xe9', type: '6' }),
];

const noOverlay = firstMissing(isRoot(), hasKernelOverlay());

describe.skipIf(noOverlay)(titled('squashImage', noOverlay), () => {
  test.each([2, 3, 4])('shows the same with the %i topmost layers as one', async (from) => {
    const store = await storeOf(LAYERS);
    const before = store.resolve('image');
    const id = await squash(store, { from: String(from), name: 'docker.io/library/image:squashed' });
    const after = store.resolve('image:squashed');
    expect(after.id).toBe(id);
    expect(after.diffIds.slice(0, -1)).toEqual(before.diffIds.slice(0, -from));
    expect(after.diffIds).toHaveLength(LAYERS.length - from + 1);
    expect(merged(store, id)).toEqual(merged(store, 'image'));
  });

  test('keeps whiteouts of what is below the range, and no others', async () => {
    const store = await storeOf(LAYERS);
    const names = async (from: string): Promise<string[]> => {
      const image = store.resolve(await squash(store, { from }));
      const blob = join(store.root, 'blobs/sha256', (image.diffIds.at(-1) ?? '').slice('sha256:'.length));
      return run('tar', '-tf', blob)
        .split('\n')
        .filter((name) => name.includes('.wh.'));
    };
    expect(await names('4')).toEqual([]);
    // `gone` is a directory by now, which hides the file without a mark; `d/c` came within the range.
    expect(await names('3')).toEqual(['opaque/.wh..wh..opq']);
    expect(await names('2')).toEqual(['d/.wh.c', 'opaque/.wh..wh..opq']);
  });

  const name = fc.constantFrom('a', 'b', 'c');
  const path = fc.array(name, { minLength: 1, maxLength: 3 });
  const entry = fc
    .tuple(path, fc.constantFrom('file', 'directory', 'symlink', 'whiteout', 'opaque'), fc.nat(3))
    .map(([names, kind, number]): ArchiveEntry => {
      const parent = names
        .slice(0, -1)
        .map((part) => `${part}/`)
        .join('');
      const last = names.at(-1) ?? '';
      if (kind === 'whiteout') return { name: `${parent}.wh.${last}` };
      if (kind === 'opaque') return { name: `${parent}.wh..wh..opq` };
      if (kind === 'directory') return { name: `${parent}${last}/`, type: '5', mode: 0o700 + number, mtime: number };
      if (kind === 'symlink') return { name: parent + last, type: '2', linkname: String(number) };
      return { name: parent + last, data: String(number), uid: number, mtime: number };
    });
  const layer = fc.array(entry, { minLength: 1, maxLength: 6 }).map((entries) => tar(...entries));

  test('shows the same whatever the layers and the range', { timeout: 300_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(layer, { minLength: 2, maxLength: 4 }), fc.nat(2), async (layers, less) => {
        const store = newStore();
        const archive = dockerArchive({ layers, names: ['image'], architecture: MACHINE });
        const isLoaded = await load(store, archive, { platform: PLATFORM }).then(
          () => true,
          () => false,
        );
        // What goes through a file is refused as a layer.
        fc.pre(isLoaded);
        const from = String(Math.max(2, layers.length - less));
        const id = await squash(store, { from });
        expect(merged(store, id)).toEqual(merged(store, 'image'));
      }),
      { numRuns: 40 },
    );
  });
});

describe.skipIf(isRoot())(titled('squashImage and its image', isRoot()), () => {
  const config = { Cmd: ['sh'], Env: ['A=1'], Labels: { a: 'b' } };

  test('keeps the configuration, and tells of it in the history', async () => {
    const store = newStore();
    const document = {
      architecture: MACHINE,
      os: 'linux',
      created: '2020-01-02T03:04:05Z',
      config,
      rootfs: { type: 'layers', diff_ids: LAYERS.map((one) => `sha256:${sha256(one)}`) },
      history: [
        { created_by: 'one' },
        { created_by: 'env', empty_layer: true },
        { created_by: 'two' },
        { created_by: 'three' },
        { created_by: 'four' },
      ],
    };
    const entries = LAYERS.map((one, at) => ({ name: `${at}.tar`, data: one }));
    const manifest = [{ Config: 'c.json', RepoTags: ['image'], Layers: entries.map((one) => one.name) }];
    const files = [
      { name: 'c.json', data: JSON.stringify(document) },
      { name: 'manifest.json', data: JSON.stringify(manifest) },
    ];
    await load(store, tar(...entries, ...files), { platform: PLATFORM });
    const image = store.resolve(await squash(store, { from: '2' }));
    expect(image.created).toBe('2020-01-02T03:04:05Z');
    expect(image.config).toMatchObject({ cmd: ['sh'], env: ['A=1'], labels: { a: 'b' } });
    expect(image.history.map(({ createdBy, emptyLayer, comment }) => [createdBy, emptyLayer, comment])).toEqual([
      ['one', false, ''],
      ['env', true, ''],
      ['two', false, ''],
      ['three', true, ''],
      ['four', true, ''],
      ['lamina squash', false, '2 layers squashed into one'],
    ]);
  });

  test('makes the same image each time, in any store', async () => {
    const [one, other] = [await storeOf(LAYERS), await storeOf(LAYERS)];
    const id = await squash(one);
    expect(await squash(one)).toBe(id);
    expect(await squash(other)).toBe(id);
  });

  test('takes a layer by its digits, and refuses what makes no sense', async () => {
    const store = await storeOf(LAYERS);
    const { diffIds } = store.resolve('image');
    const above = await squash(store, { from: diffIds[1] ?? '' });
    expect(await squash(store, { from: (diffIds[1] ?? '').slice(7, 27) })).toBe(above);
    expect(store.resolve(above).diffIds.slice(0, 2)).toEqual(diffIds.slice(0, 2));
    for (const [from, message] of [
      ['5', /it has 4 layers, not 5/],
      ['1', /1 of them to squash: there is nothing to do/],
      [diffIds[3], /0 of them to squash/],
      ['abcdef0123', /it has no layer abcdef0123/],
    ] as const) {
      await expect(squash(store, { from: from ?? '' })).rejects.toThrow(message);
    }
    expect(readdirSync(join(store.root, 'tmp'))).toEqual([]);
  });
});

const noUmoci = firstMissing(isRoot(), has('umoci'), has('skopeo'));

describe.skipIf(noUmoci)(titled('squashImage and others', noUmoci), () => {
  test('umoci unpacks the same from both', async () => {
    const store = await storeOf(LAYERS.slice(0, 3));
    await squash(store, { name: 'docker.io/library/image:squashed' });
    const base = temporary();
    const copy = join(base, 'copy');
    cpSync(join(store.root, 'blobs'), join(copy, 'blobs'), { recursive: true });
    for (const name of ['index.json', 'oci-layout']) cpSync(join(store.root, name), join(copy, name));
    const trees = ['latest', 'squashed'].map((tag) => {
      run('umoci', 'unpack', '--image', `${copy}:docker.io/library/image:${tag}`, join(base, tag));
      return snapshot(join(base, tag, 'rootfs'));
    });
    expect(trees[1]).toEqual(trees[0]);
    expect(trees[0]?.length).toBeGreaterThan(5);
  });
});

describe.skipIf(isRoot())(titled('lamina squash and import', isRoot()), () => {
  afterEach(() => vi.unstubAllEnvs());

  test('leave a store that is whole, wherever they are killed', { timeout: 180_000 }, async () => {
    // Else each import makes another image, and one that is done when it is killed keeps its layer.
    vi.stubEnv('SOURCE_DATE_EPOCH', '1');
    const line = new CommandLine();
    const big = (letter: string): Buffer => tar({ name: letter, data: Buffer.alloc(1 << 24, letter) });
    const path = join(temporary(), 'root.tar');
    writeFileSync(path, big('c'));
    line.output(['load'], dockerArchive({ layers: [big('a'), big('b')], names: ['image'], architecture: MACHINE }));
    for (const [at, args] of [
      ['squash', 'image', '-t', 'new'],
      ['import', path, 'new'],
    ].entries()) {
      for (let round = 0; round < 6; round++) {
        const child = line.start(args);
        const ended = once(child, 'exit');
        await sleep(100 + 60 * round + 30 * at);
        child.kill('SIGKILL');
        await ended;
        expect(line.call(['system', 'check']).status).toBe(0);
        expect(readdirSync(join(line.root, 'tmp'))).toEqual([]);
      }
      line.output(args);
      line.output(['image', 'rm', 'new']);
    }
    expect(line.output(['images', '-q']).trim().split('\n')).toHaveLength(1);
    expect(readdirSync(join(line.root, 'layers')).filter((name) => /^[0-9a-f]{64}$/.test(name))).toHaveLength(2);
  });

  test('keep nothing where the disk is full', () => {
    const line = new CommandLine();
    mkdirSync(line.root);
    run('mount', '-t', 'tmpfs', '-o', 'size=6m', 'none', line.root);
    try {
      const layer = (letter: string): Buffer => tar({ name: letter, data: Buffer.alloc(1 << 20, letter) });
      const image = { layers: [layer('a'), layer('b')], names: ['image'], architecture: MACHINE };
      line.output(['load'], dockerArchive(image));
      const found = (): string[][] =>
        ['blobs/sha256', 'layers', 'tmp'].map((name) => readdirSync(join(line.root, name)));
      const before = found();
      const path = join(temporary(), 'root.tar');
      writeFileSync(path, tar({ name: 'c', data: Buffer.alloc(1.5 * 2 ** 20, 'c') }));
      for (const args of [
        ['squash', 'image', '-t', 'new'],
        ['import', path, 'new'],
      ]) {
        const { status, stderr } = line.call(args);
        expect(status).toBe(1);
        expect(stderr).toMatch(/^lamina: cannot (?:squash|import) \S+: .*no space left on device.*\n$/i);
        expect(found()).toEqual(before);
      }
      expect(line.output(['images', '-q']).trim().split('\n')).toHaveLength(1);
    } finally {
      run('umount', line.root);
    }
  });

  test('prints the id, and says in one line what cannot be', () => {
    const line = new CommandLine();
    line.output(['load'], dockerArchive({ layers: LAYERS, names: ['image'], architecture: MACHINE }));
    const id = line.output(['squash', '-f', '3', '-t', 'image:small', '-m', 'why', 'image']).trim();
    const [image] = JSON.parse(line.output(['image', 'inspect', 'image:small'])) as Record<string, unknown>[];
    expect(image).toMatchObject({ Id: id, RootFS: { Layers: expect.any(Array) as unknown[] } });
    expect(line.output(['diff', 'image', 'image:small'])).toBe('');
    const { status, stderr } = line.call(['squash', 'nothing']);
    expect({ status, stderr }).toMatchObject({ status: 1 });
    expect(stderr).toMatch(/^lamina: cannot squash nothing: image "nothing" is not in the store; .*\n$/);
  });
});
