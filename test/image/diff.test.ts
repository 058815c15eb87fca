import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { type Change } from '../../runner/container/diff.ts';
import { diffImages } from '../../runner/container/image-diff.ts';
import { type Store } from '../../runner/image/store.ts';
import { Warnings } from '../../runner/image/warnings.ts';
import { firstMissing, has, isRoot, titled } from '../support/requirements.ts';
import { type ArchiveEntry, dockerArchive, tar } from './archives.ts';
import { CommandLine } from './command-line.ts';
import { load, newStore, temporary } from './ground.ts';
import { Podman } from './podman.ts';

const MACHINE = process.arch === 'x64' ? 'amd64' : process.arch;
const PLATFORM = { os: 'linux', architecture: MACHINE, variant: '' };
const NAME = 'docker.io/library/';

const BOTTOM = tar(
  { name: 'd/', type: '5' },
  { name: 'd/gone', data: 'x' },
  { name: 'd/kept', data: 'x' },
  { name: 'd/changed', data: 'x' },
  { name: 'swap/', type: '5' },
  { name: 'swap/inner', data: 'x' },
  { name: 'opaque/', type: '5' },
  { name: 'opaque/below', data: 'x' },
  { name: 'opaque/both', data: 'x' },
  { name: 'link', type: '2', linkname: 'd' },
);
const TOP = tar(
  { name: 'd/.wh.gone' },
  { name: 'd/changed', data: 'y', mtime: 6 },
  { name: 'd/new', data: 'new' },
  { name: '.wh.swap' },
  { name: 'swap', data: 'a file' },
  { name: 'opaque/', type: '5' },
  { name: 'opaque/.wh..wh..opq' },
  { name: 'opaque/above', data: 'x', mtime: 5 },
  { name: 'opaque/both', data: 'z', mtime: 5 },
  { name: 'tree/', type: '5' },
  { name: 'tree/one/', type: '5' },
  { name: 'tree/one/two', data: 'x' },
  { name: 'link', type: '2', linkname: 'e', mtime: 6 },
);
const CHANGES = [
  'C /d',
  'C /d/changed',
  'D /d/gone',
  'A /d/new',
  'C /link',
  'C /opaque',
  'A /opaque/above',
  'D /opaque/below',
  'C /opaque/both',
  'C /swap',
  'A /tree',
  'A /tree/one',
  'A /tree/one/two',
];

const archive = dockerArchive(
  { layers: [BOTTOM], names: [`${NAME}base:1`], architecture: MACHINE },
  { layers: [BOTTOM, TOP], names: [`${NAME}child:1`], architecture: MACHINE },
);

async function storeOf(...archives: readonly Buffer[]): Promise<Store> {
  const store = newStore();
  for (const one of archives) await load(store, one, { platform: PLATFORM });
  return store;
}

async function changes(store: Store, reference: string, base?: string): Promise<string[]> {
  const found: Change[] = await diffImages(store, reference, base, new Warnings());
  return found.map(({ kind, path }) => `${kind} ${path}`);
}

describe.skipIf(isRoot())(titled('diffImages', isRoot()), () => {
  test('tells what an image has otherwise than its base, and than its parent', async () => {
    const store = await storeOf(archive);
    expect(await changes(store, 'child:1', 'base:1')).toEqual(CHANGES);
    expect(await changes(store, 'child:1')).toEqual(CHANGES);
    const reversed: Readonly<Record<string, string>> = { A: 'D', D: 'A', C: 'C' };
    const back = CHANGES.filter((line) => !line.startsWith('A /tree/')).map((line) =>
      line.replace(/^./, (kind) => reversed[kind] ?? ''),
    );
    expect(await changes(store, 'base:1', 'child:1')).toEqual(
      [...back, 'A /swap/inner'].sort((one, other) => (one.slice(2) < other.slice(2) ? -1 : 1)),
    );
    expect(await changes(store, 'child:1', 'child:1')).toEqual([]);
  });

  test('tells everything of an image of one layer', async () => {
    const store = await storeOf(archive);
    expect((await changes(store, 'base:1')).every((line) => line.startsWith('A '))).toBe(true);
    expect(await changes(store, 'base:1')).toContain('A /opaque/below');
  });

  test('compares by content, metadata and type images that share no layer', async () => {
    const files = (...entries: readonly ArchiveEntry[]): Buffer => tar({ name: 'same', data: 'x' }, ...entries);
    const image = (name: string, ...entries: readonly ArchiveEntry[]): Buffer =>
      dockerArchive({ layers: [files(...entries)], names: [name], architecture: MACHINE });
    const store = await storeOf(
      image(
        'old',
        { name: 'content', data: 'abc' },
        { name: 'mode' },
        { name: 'd/', type: '5', mtime: 1 },
        { name: 'x' },
      ),
      image(
        'new',
        { name: 'content', data: 'abd' },
        { name: 'mode', mode: 0o600 },
        { name: 'd/', type: '5', mtime: 2 },
        { name: 'x', pax: { 'SCHILY.xattr.user.a': 'b' } },
      ),
    );
    expect(await changes(store, 'new', 'old')).toEqual(['C /content', 'C /mode', 'C /x']);
  });
});

describe.skipIf(isRoot())(titled('lamina diff of images', isRoot()), () => {
  test('prints lines, or lists as podman does', () => {
    const line = new CommandLine();
    line.output(['load'], archive);
    expect(line.output(['diff', 'child:1', 'base:1'])).toBe(`${CHANGES.join('\n')}\n`);
    expect(line.output(['diff', 'child:1'])).toBe(`${CHANGES.join('\n')}\n`);
    const paths = (kind: string): string[] =>
      CHANGES.filter((change) => change.startsWith(kind)).map((change) => change.slice(2));
    expect(JSON.parse(line.output(['diff', '--format', 'json', 'child:1']))).toEqual({
      changed: paths('C'),
      added: paths('A'),
      deleted: paths('D'),
    });
    expect(line.call(['diff', 'nothing']).stderr).toMatch(/there is no container and no image "nothing"/);
    expect(line.call(['diff', 'child:1', 'nothing']).stderr).toMatch(/image "nothing" is not in the store/);
  });
});

const noPodman = firstMissing(isRoot(), has('podman'));

describe.skipIf(noPodman)(titled('diffImages and podman', noPodman), () => {
  // podman goes by sizes and times: what differs in content alone it does not see.
  test('tell the same', async () => {
    const path = join(temporary(), 'archive.tar');
    writeFileSync(path, archive);
    const podman = new Podman();
    podman.call('load', '-i', path);
    const theirs = (...references: readonly string[]): string[] =>
      podman
        .call('image', 'diff', ...references)
        .trim()
        .split('\n')
        .sort();
    const store = await storeOf(archive);
    expect((await changes(store, 'child:1')).sort()).toEqual(theirs(`${NAME}child:1`));
    expect((await changes(store, 'child:1', 'base:1')).sort()).toEqual(theirs(`${NAME}child:1`, `${NAME}base:1`));
  });
});
