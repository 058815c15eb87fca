import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { type Digest, chainIdsOf } from '../../runner/image/digest.ts';
import { type Growth } from '../../runner/image/growing-file.ts';
import { DEFAULT_LIMITS } from '../../runner/image/limits.ts';
import { openStore } from '../../runner/image/store.ts';
import { UnpackThread } from '../../runner/image/unpack-thread.ts';
import { DIST } from '../support/paths.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { type ArchiveEntry, dockerArchive, sha256, tar } from './archives.ts';
import { evilEntries } from './evil-entries.ts';
import { FakeRegistry } from './fake-registry.ts';
import { snapshot, Target, temporary } from './ground.ts';
import { runLamina } from './kills.ts';

const ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch;
/** Together they are worth a thread; zeros become a hole. */
const PAD: ArchiveEntry = { name: 'pad', data: Buffer.alloc(1 << 20) };
const LAYERS = 24;

const BASE: readonly ArchiveEntry[] = [
  { name: './', type: '5', mode: 0o711, uid: 3, mtime: 50 },
  { name: 'a/', type: '5', mode: 0o1750, uid: 7, gid: 8, mtime: 77, pax: { 'SCHILY.xattr.user.note': 'below' } },
  { name: 'a/b/c/x', data: 'deep below' },
  { name: 'c/d/', type: '5', mode: 0o700, mtime: 5 },
  { name: 'c/d/link', type: '2', linkname: '../../a' },
  { name: 'x', data: 'below', uid: 7 },
  { name: 'link', type: '1', linkname: 'x' },
];

// What depends on the layers below, in all orders: directories that an archive takes for granted, marks before, after and
// above what they hide, marks of what is not there.
const DEPENDENT: readonly (readonly ArchiveEntry[])[] = [
  [{ name: 'a/b/c/new' }, { name: 'c/d/.wh.link' }, { name: '.wh.nowhere' }],
  [{ name: 'a/.wh..wh..opq' }, { name: 'a/b/again', data: 'x' }, { name: '.wh.c' }],
  [{ name: 'c/d/', type: '5' }, { name: 'c/d/y' }, { name: '.wh.a' }, { name: 'a/z', data: 'z' }],
  [{ name: 'a', type: '2', linkname: 'c' }, { name: 'c/d/.wh.y' }, { name: 'c/d/.wh.never' }],
];

/** A whiteout's time is that of its making. */
function treeAt(path: string): string[] {
  return snapshot(path).map((line) => line.replace(/ 20000 0:0 \d+ device 0$/, ' whiteout'));
}

interface Unpacked {
  readonly archives: readonly Buffer[];
  /** Each layer's tree. */
  readonly trees: readonly (readonly string[])[];
}

/** Layers that could be unpacked one after the other, and what became of them. */
async function unpackInTurn(layers: readonly (readonly ArchiveEntry[])[]): Promise<Unpacked> {
  const archives: Buffer[] = [];
  const trees: string[][] = [];
  let lowers: string[] = [];
  for (const entries of layers) {
    const target = new Target();
    const archive = tar(...entries, PAD, { name: `of-${archives.length}` });
    const isTaken = await target.unpack(archive, lowers, {}, 1 << 16).then(
      () => true,
      () => false,
    );
    if (!isTaken) continue;
    archives.push(archive);
    trees.push(treeAt(target.path));
    lowers = [target.path, ...lowers];
  }
  return { archives, trees };
}

function treesOf(root: string, archives: readonly Buffer[]): string[][] {
  const { layers } = openStore(root);
  const diffIds = archives.map((archive) => `sha256:${sha256(archive)}` as Digest);
  return chainIdsOf(diffIds).map((chainId) => treeAt(layers.path(chainId)));
}

/** Unpacks all at once in a thread, and finishes them in their order. */
async function unpackInThread(archives: readonly Buffer[]): Promise<string[][]> {
  const thread = await UnpackThread.start(pathToFileURL(join(DIST, 'runner/image/unpack-worker.js')));
  if (thread === undefined) throw new Error('no thread could be started');
  const base = temporary();
  const paths = archives.map((_, at) => join(base, String(at)));
  const unpacking = archives.map((bytes, at) => {
    const [path, directory] = [`${base}/${at}.tar`, `${base}/${at}`];
    writeFileSync(path, bytes);
    mkdirSync(directory);
    const archive = { path, directory, size: bytes.length, limits: DEFAULT_LIMITS };
    return thread.unpack(archive, grownInSteps(bytes.length), new AbortController().signal);
  });
  for (const [at, unpacked] of (await Promise.all(unpacking)).entries()) {
    expect(unpacked.diffId).toBe(`sha256:${sha256(archives[at] ?? Buffer.alloc(0))}`);
    await unpacked.finish(paths.slice(0, at).reverse());
  }
  thread.end();
  return paths.map((path) => treeAt(path));
}

/** As of a file that comes in three pieces. */
function grownInSteps(size: number): Growth {
  return (at) => Promise.resolve(Math.min(size, at + Math.ceil(size / 3)));
}

const missing = isRoot();

describe.skipIf(missing)(titled('Layers that are unpacked at once', missing), () => {
  test('are what they are when unpacked one after the other, in a thread, by load and by pull', async () => {
    const generated = fc.sample(evilEntries('/nonexistent'), { numRuns: LAYERS, seed: 20_261_130 });
    const { archives, trees } = await unpackInTurn([BASE, ...DEPENDENT, ...generated]);
    expect(archives.length).toBeGreaterThan(12);

    expect(await unpackInThread(archives)).toEqual(trees);

    const archive = join(temporary(), 'image.tar');
    writeFileSync(archive, dockerArchive({ layers: archives, names: ['made:1'], architecture: ARCHITECTURE }));
    const loaded = join(temporary(), 'store');
    expect(await runLamina(loaded, ['load', '-i', archive])).toMatchObject({ code: 0 });
    expect(treesOf(loaded, archives)).toEqual(trees);

    const remote = await FakeRegistry.open();
    remote.image('1.0', archives, archives, ARCHITECTURE);
    const pulled = join(temporary(), 'store');
    expect(await runLamina(pulled, ['pull', `${remote.host}/team/app:1.0`])).toMatchObject({ code: 0 });
    expect(treesOf(pulled, archives)).toEqual(trees);
  });

  test.each([
    ['another content than its diffID says', (good: Buffer): Buffer => Buffer.concat([good, Buffer.alloc(512, 1)])],
    ['an entry that leaves it', (): Buffer => tar(PAD, { name: '../canary' })],
  ])('end with the one that has %s, and leave nothing', async (what, spoil) => {
    const good = Array.from({ length: 12 }, (_, at) => tar({ name: `of-${at}` }, PAD));
    const layers = good.map((layer, at) => (at === 7 ? spoil(layer) : layer));
    const named = what.startsWith('another') ? good : layers;
    const diffIds = named.map((layer) => `sha256:${sha256(layer)}`);
    const archive = join(temporary(), 'image.tar');
    writeFileSync(archive, dockerArchive({ layers, diffIds, architecture: ARCHITECTURE }));
    const root = join(temporary(), 'store');
    const { code, stderr } = await runLamina(root, ['load', '-i', archive]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(`layer ${diffIds[7]}: `) as string });
    for (const directory of ['layers', 'tmp', 'blobs/sha256']) expect(readdirSync(join(root, directory))).toEqual([]);
  });
});
