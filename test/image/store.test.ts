import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { addImage } from '../../runner/image/add-image.ts';
import { tryLock } from '../../runner/image/lock.ts';
import { openStore } from '../../runner/image/store.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, ociArchive, sha256, tar } from './archives.ts';
import { inPieces, isLayer, load, newStore, temporary } from './ground.ts';

const LAYER = tar({ name: 'f', data: 'x' });
const LAYER_ID = `sha256:${sha256(LAYER)}`;

describe('openStore', () => {
  test('makes a directory that nobody else may enter', () => {
    const root = join(temporary(), 'a/b');
    openStore(root);
    expect(statSync(root).mode & 0o777).toBe(0o700);
    expect(readdirSync(root)).toContain('oci-layout');
  });

  test('closes one that others could enter', () => {
    const root = join(temporary(), 'store');
    mkdirSync(root, { mode: 0o755 });
    openStore(root);
    expect(statSync(root).mode & 0o777).toBe(0o700);
  });

  test("refuses a directory with someone's files in it", () => {
    const root = temporary();
    writeFileSync(join(root, 'thesis.tex'), '');
    expect(() => openStore(root)).toThrow(/not empty and not a store/);
    expect(readdirSync(root)).toEqual(['thesis.tex']);
  });

  test('clears what dead processes left, and only that', () => {
    const store = newStore();
    const living = store.scratch();
    writeFileSync(living.next(), 'in use');
    const tmp = join(store.root, 'tmp');
    mkdirSync(join(tmp, 'dead/tree'), { recursive: true });
    writeFileSync(Buffer.from(join(tmp, 'dead/tree/caf\xe9'), 'latin1'), '');
    writeFileSync(join(tmp, 'dead.lock'), '');
    mkdirSync(join(tmp, 'without-lock'));
    openStore(store.root);
    expect(readdirSync(tmp).filter((name) => name.includes('dead') || name.includes('without'))).toEqual([]);
    expect(readdirSync(tmp)).toHaveLength(2);
    living.remove();
    expect(readdirSync(tmp)).toEqual([]);
  });
});

describe.skipIf(isRoot())(titled('Store.resolve', isRoot()), () => {
  test('finds by name, id and beginning of an id', async () => {
    const store = newStore();
    const [loaded] = await load(store, dockerArchive({ layers: [LAYER], names: ['debian:12', 'ghcr.io/a/b'] }));
    const id = loaded?.id ?? '';
    const references = [
      'debian:12',
      'docker.io/library/debian:12',
      'ghcr.io/a/b',
      id,
      id.slice(7),
      id.slice(7, 19),
      id.slice(0, 15),
    ];
    for (const reference of references) expect(store.resolve(reference).id).toBe(id);
    expect(store.resolve(`debian@${store.resolve(id).manifests[0] ?? ''}`).id).toBe(id);
  });

  test('says what is not there, and what is not clear', async () => {
    const store = newStore();
    expect(() => store.resolve('debian')).toThrow('image "debian" is not in the store; "lamina images"');
    expect(() => store.resolve('Debian')).toThrow(/lower-case/);
    for (let at = 0; at < 300; at++) {
      await load(store, dockerArchive({ layers: [LAYER], config: { Env: [`N=${at}`] } }));
      const prefixes = store.list().map(({ id }) => id.slice(7, 9));
      const double = prefixes.find((prefix, first) => prefixes.indexOf(prefix) !== first);
      if (double === undefined) continue;
      expect(() => store.resolve(double)).toThrow(/is the beginning of 2 ids/);
      return;
    }
    throw new Error('no two ids began alike');
  });

  test('gives no layers of an image that is not unpacked', async () => {
    const store = newStore();
    await load(store, dockerArchive({ layers: [LAYER], names: ['x'] }));
    const scratch = store.scratch();
    store.layers.collect(new Set(), scratch);
    scratch.remove();
    expect(store.resolve('x')).toMatchObject({ unpacked: false, layers: [] });
    expect(() => store.hold(store.resolve('x'), 'c1')).toThrow(/was removed meanwhile/);
  });

  test('ends the layers at an opaque root', async () => {
    const store = newStore();
    const opaque = tar({ name: '.wh..wh..opq' }, { name: 'new' });
    await load(store, dockerArchive({ layers: [LAYER, opaque, tar({ name: 'top' })], names: ['x'] }));
    const { layers, chainIds } = store.resolve('x');
    expect(chainIds).toHaveLength(3);
    expect(layers.map((layer) => readdirSync(layer))).toEqual([['top'], ['new']]);
  });
});

describe.skipIf(isRoot())(titled('Store.describe', isRoot()), () => {
  test('shows an image once that came packed in two ways, and removes it as one', async () => {
    const store = newStore();
    const image = { layers: [LAYER], names: ['one'] };
    await load(store, dockerArchive(image));
    await load(store, ociArchive({ ...image, names: ['two'] }));
    const { id, names, manifests } = store.describe('one');
    expect(names).toEqual(['docker.io/library/one:latest', 'docker.io/library/two:latest']);
    expect(manifests).toHaveLength(2);
    expect(store.list()).toHaveLength(1);
    expect(() => store.remove(id)).toThrow(/several repositories, one:latest, two:latest/);
    const { untagged, deleted } = store.remove(id, true);
    expect({ untagged, deleted }).toEqual({ untagged: ['one:latest', 'two:latest'], deleted: [id, LAYER_ID] });
    expect(store.list()).toEqual([]);
  });
});

describe('Store with a damaged blob', () => {
  test('shows the other images, says what is wrong, and is healed by another load', async () => {
    const store = newStore();
    const archive = dockerArchive({ layers: [LAYER], names: ['broken'] });
    const [loaded] = await load(store, archive);
    await load(store, dockerArchive({ layers: [LAYER], names: ['fine'], config: { Env: ['A=1'] } }));
    writeFileSync(join(store.root, 'blobs/sha256', (loaded?.id ?? '').slice(7)), '{}');
    expect(store.list().map(({ names }) => names)).toEqual([['docker.io/library/fine:latest']]);
    expect(() => store.resolve('broken')).toThrow(/blob sha256:[0-9a-f]+ of the store is damaged/);
    await load(store, archive);
    expect(store.resolve('broken').id).toBe(loaded?.id);
  });
});

describe.skipIf(isRoot())(titled('Store.remove', isRoot()), () => {
  const images = [
    { layers: [LAYER], names: ['one', 'two'] },
    { layers: [LAYER, tar({ name: 'g' })], names: ['three'] },
  ] as const;

  test('takes names first, then the image and what no other needs', async () => {
    const store = newStore();
    await load(store, dockerArchive(...images));
    const layers = (): number => readdirSync(join(store.root, 'layers')).filter(isLayer).length;
    expect(store.remove('one')).toMatchObject({ untagged: ['one:latest'], deleted: [] });
    expect(store.resolve('two').names).toEqual(['docker.io/library/two:latest']);
    const { id, chainIds } = store.resolve('three');
    expect(store.remove('three')).toMatchObject({ untagged: ['three:latest'], deleted: [id, chainIds[1]] });
    expect(layers()).toBe(1);
    store.remove(store.resolve('two').id);
    expect(layers()).toBe(0);
    expect(readdirSync(join(store.root, 'blobs/sha256'))).toEqual([]);
  });

  test('leaves an image that a container uses', async () => {
    const store = newStore();
    await load(store, dockerArchive(...images));
    const image = store.resolve('three');
    store.hold(image, 'c1');
    expect(() => store.remove('three')).toThrow(/container c1 uses it/);
    store.release('c1');
    store.release('c1');
    store.remove('three');
    expect(() => store.hold(image, 'c2')).toThrow(/was removed meanwhile/);
  });

  test('takes a layer away whole: killed before it is deleted, none is left of which a part is missing', async () => {
    const store = newStore();
    const archive = dockerArchive(...images);
    await load(store, archive);
    // As a process that is killed leaves it: moved aside, and its scratch directory not removed.
    const killed = store.scratch();
    store.layers.collect(new Set(), killed);
    expect(readdirSync(join(store.root, 'layers'))).toEqual([]);
    const aside = dirname(killed.next());
    const trees = readdirSync(aside).filter((name) => statSync(join(aside, name)).isDirectory());
    expect(trees.flatMap((name) => readdirSync(join(aside, name))).sort()).toEqual(['f', 'g']);
    await load(store, archive);
    expect(store.resolve('three').layers.flatMap((layer) => readdirSync(layer))).toEqual(['g', 'f']);
    killed.remove();
  });

  test('passes over a container that ends meanwhile', async () => {
    const store = newStore();
    await load(store, dockerArchive(...images));
    // A name that is listed and whose file is gone.
    symlinkSync('gone', join(store.root, 'holds/c3'));
    expect(store.remove('three').untagged).toEqual(['three:latest']);
  });

  test('leaves layers alone while something is loaded', async () => {
    const store = newStore();
    await load(store, dockerArchive(...images));
    const lock = store.lockContent();
    store.remove('three');
    expect(existsSync(store.resolve('one').layers[0] ?? '')).toBe(true);
    expect(readdirSync(join(store.root, 'layers'))).toHaveLength(6);
    lock.release();
    store.collect();
    expect(readdirSync(join(store.root, 'layers'))).toHaveLength(3);
  });
});

describe.skipIf(isRoot())(titled('addImage', isRoot()), () => {
  test('registers layers made here', async () => {
    const store = newStore();
    const image = await addImage(store, {
      name: 'local/demo:1',
      layers: [inPieces(LAYER), inPieces(tar({ name: '.wh.f' }))],
      cmd: ['/bin/sh'],
      env: ['PATH=/bin'],
    });
    expect(image).toMatchObject({
      names: ['docker.io/local/demo:1'],
      config: { cmd: ['/bin/sh'], env: ['PATH=/bin'] },
    });
    expect(image.layers.map((layer) => statSync(join(layer, 'f')).isFile())).toEqual([false, true]);
  });
});

describe('tryLock', () => {
  test('takes a lock once', () => {
    const path = join(temporary(), 'lock');
    const lock = tryLock(path);
    expect(tryLock(path)).toBeUndefined();
    lock?.release();
    const again = tryLock(path);
    expect(again).toBeDefined();
    again?.release();
  });
});
