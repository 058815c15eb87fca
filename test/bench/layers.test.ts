import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkImage } from '../../bench/sources.ts';
import { ancestors, bounded, deal, givenLayers, splitRoot } from '../../bench/layers.ts';

let base = '';

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'lamina-bench-layers-'));
});

afterAll(async () => {
  await rm(base, { recursive: true });
});

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1));
}

test('splitRoot puts every file into exactly one layer, and keeps modes of files and directories', async () => {
  const root = join(base, 'root');
  await mkdir(join(root, 'a/deep/er'), { recursive: true });
  await mkdir(join(root, 'closed'), { mode: 0o700 });
  const names = ['top', 'a/1', 'a/2', 'a/deep/3', 'a/deep/er/4', 'a/deep/er/-5', 'closed/6 with blank', 'closed/7'];
  for (const name of names) await writeFile(join(root, name), name, { mode: 0o640 });
  const layers = await splitRoot(root, join(base, 'split'));
  const found = (await Promise.all(layers.map(filesBelow))).flat();
  expect(found.sort()).toEqual([...names].sort());
  const closed = await Promise.all(layers.map((layer) => stat(join(layer, 'closed')).catch(() => undefined)));
  for (const status of closed) expect((status?.mode ?? 0o700) & 0o777).toBe(0o700);
});

test('splitRoot makes as many layers as it is asked for', async () => {
  const layers = await splitRoot(join(base, 'root'), join(base, 'split-in-3'), 3);
  expect(layers.map((layer) => layer.slice(-1))).toEqual(['0', '1', '2']);
  expect((await Promise.all(layers.map(filesBelow))).flat()).toHaveLength(8);
});

test('splitRoot refuses a root with nothing in it', async () => {
  await mkdir(join(base, 'empty'));
  await expect(splitRoot(join(base, 'empty'), join(base, 'nothing'))).rejects.toThrow('--root');
});

test('givenLayers takes the last by name as the topmost', async () => {
  for (const name of ['2', '1', '3']) await mkdir(join(base, 'given', name), { recursive: true });
  expect(await givenLayers(join(base, 'given'))).toEqual(['3', '2', '1'].map((name) => join(base, 'given', name)));
});

test('givenLayers refuses a directory without subdirectories, and names that mount options cannot hold', async () => {
  await expect(givenLayers(join(base, 'empty'))).rejects.toThrow('no subdirectories');
  await mkdir(join(base, 'awkward/a:b'), { recursive: true });
  await expect(givenLayers(join(base, 'awkward'))).rejects.toThrow('a:b');
});

test('ancestors lists directories from the top', () => {
  expect(ancestors('a/b/c')).toEqual(['a', 'a/b']);
  expect(ancestors('a')).toEqual([]);
});

test('deal gives each path to one layer, after its directories', () => {
  expect(deal(['d', 'd/1', 'd/2', 'd/3'], 2)).toEqual([
    ['d', 'd/2'],
    ['d', 'd/1', 'd/3'],
  ]);
});

test('bounded skips what is too large and stops at the number of files', () => {
  const listing = ['60 first one', '50 second', '40 third', '0 fourth'];
  expect(bounded(listing, 100, 10)).toEqual(['first one', 'third', 'fourth']);
  expect(bounded(listing, 100, 1)).toEqual(['first one']);
  expect(bounded(['9000000 huge', '1 small'], 1e9, 10)).toEqual(['small']);
});

test('checkImage names the option whose directory is not there', async () => {
  const directory = join(base, 'nowhere');
  await expect(checkImage({ kind: 'layers', directory })).rejects.toThrow(/^--layers: ENOENT/);
  await expect(checkImage({ kind: 'root', directory })).rejects.toThrow(/^--root: ENOENT/);
  await expect(checkImage({ kind: 'machine' })).resolves.toBeUndefined();
});
