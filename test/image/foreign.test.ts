import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { openStore, type Store } from '../../runner/image/store.ts';
import { unpackedImage } from '../../runner/image/unpack-image.ts';
import { Warnings } from '../../runner/image/warnings.ts';
import { firstMissing, has, isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, type ImageMaking, OciBlobs, sha256, tar } from './archives.ts';
import { load, newStore, run, temporary } from './ground.ts';

const machine = process.arch === 'x64' ? 'amd64' : process.arch;
const IMAGE: ImageMaking = {
  layers: [tar({ name: 'f', data: 'x' }), tar({ name: '.wh.f' }, { name: 'g', data: 'y' })],
  names: ['app:1'],
  architecture: machine,
};

/** Puts blobs, and entries for them, into a store's files as another program does: without a lock, the index last. */
function put(store: Store, blobs: OciBlobs, manifests: readonly object[]): void {
  for (const { name, data } of blobs.entries) writeFileSync(join(store.root, name), data ?? '');
  const path = join(store.root, 'index.json');
  const index = JSON.parse(readFileSync(path, 'utf8')) as { manifests: object[] };
  writeFileSync(path, JSON.stringify({ ...index, manifests: [...index.manifests, ...manifests] }));
}

function named(descriptor: object, name: string, more: object = {}): object {
  return { ...descriptor, ...more, annotations: { 'org.opencontainers.image.ref.name': name } };
}

/** An index of an image for this machine and one for another. */
function putIndex(store: Store): { blobs: OciBlobs; digest: string } {
  const blobs = new OciBlobs();
  const other = blobs.addImage({ ...IMAGE, layers: [tar({ name: 'other' })], architecture: 's390x' });
  const own = blobs.addImage(IMAGE);
  const inner = blobs.addIndex([
    { ...other, platform: { os: 'linux', architecture: 's390x' } },
    { ...own, platform: { os: 'linux', architecture: machine } },
  ]);
  put(store, blobs, [named(inner, 'many')]);
  return { blobs, digest: inner.digest };
}

function blobsOf(store: Store): string[] {
  return readdirSync(join(store.root, 'blobs/sha256')).sort();
}

function use(store: Store, name: string): Promise<string[][]> {
  return unpackedImage(store, name, new Warnings()).then(({ layers }) => layers.map((path) => readdirSync(path)));
}

describe.skipIf(isRoot())(titled('Store with entries of other programs', isRoot()), () => {
  test('lists an image under the name it was given, and unpacks it on first use', async () => {
    const store = newStore();
    const blobs = new OciBlobs();
    put(store, blobs, [named(blobs.addImage(IMAGE), 'v1'), named(blobs.addImage(IMAGE), 'app:1')]);
    // What is added last is in the list of what to write, too.
    put(store, blobs, []);
    expect(store.resolve('v1')).toMatchObject({
      names: ['docker.io/library/v1:latest', 'docker.io/library/app:1'],
      unpacked: false,
    });
    expect(await use(store, 'app:1')).toEqual([['f', 'g'], ['f']]);
    expect(store.resolve('v1').unpacked).toBe(true);
  });

  test('refuses a layer that is not what the manifest says, and shows nothing of it', async () => {
    const store = newStore();
    const blobs = new OciBlobs();
    put(store, blobs, [
      named(
        blobs.addImage(IMAGE, (layer) => layer),
        'v1',
      ),
    ]);
    const layer = join(store.root, 'blobs/sha256', sha256(IMAGE.layers[1] ?? Buffer.alloc(0)));
    writeFileSync(layer, tar({ name: '.wh.f' }, { name: 'g', data: 'Y' }));
    await expect(use(store, 'v1')).rejects.toThrow(
      /cannot unpack image v1: layer sha256:[0-9a-f]+ of the store is damaged/,
    );
    rmSync(layer);
    await expect(use(store, 'v1')).rejects.toThrow(/is not in the store; pull or load the image again/);
    expect(readdirSync(join(store.root, 'layers'))).toEqual([]);
    expect(readdirSync(join(store.root, 'tmp'))).toEqual([]);
  });

  test('refuses a layer that climbs, as from any archive', async () => {
    const store = newStore();
    const blobs = new OciBlobs();
    put(store, blobs, [named(blobs.addImage({ ...IMAGE, layers: [tar({ name: '../up' })] }), 'v1')]);
    await expect(use(store, 'v1')).rejects.toThrow(/its name climbs/);
  });

  test('takes of an index the image for this machine', async () => {
    const store = newStore();
    const { digest } = putIndex(store);
    expect(store.list()).toHaveLength(1);
    expect(await use(store, 'many')).toEqual([['f', 'g'], ['f']]);
    expect(store.resolve(digest).id).toBe(store.resolve('many').id);
    store.tag('many', ['docker.io/library/again:1']);
    expect(store.resolve('again:1').id).toBe(store.resolve('many').id);
  });

  test('an entry of the same name that comes later has it', async () => {
    const store = newStore();
    await load(store, dockerArchive({ ...IMAGE, architecture: 'amd64' }));
    const blobs = new OciBlobs();
    const config = { Env: ['A=1'] };
    put(store, blobs, [named(blobs.addImage({ ...IMAGE, config }), 'app:1')]);
    expect(store.resolve('app:1').config.env).toEqual(['A=1']);
    expect(store.list().map(({ names }) => names)).toEqual([[], ['docker.io/library/app:1']]);
    store.tag('app:1', ['docker.io/library/b:1']);
    expect(store.resolve('app:1').config.env).toEqual(['A=1']);
  });

  test('does not take what is no image for one, and leaves it alone', async () => {
    const store = newStore();
    const blobs = new OciBlobs();
    const signature = blobs.add('application/vnd.dev.cosign.simplesigning.v1+json', Buffer.from('{"critical":{}}'));
    const empty = blobs.add('application/vnd.oci.empty.v1+json', Buffer.from('{}'));
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const artifact = { schemaVersion: 2, mediaType, config: empty, layers: [signature] };
    put(store, blobs, [named(blobs.add(mediaType, Buffer.from(JSON.stringify(artifact))), 'signed')]);
    put(store, blobs, []);
    await load(store, dockerArchive({ ...IMAGE, architecture: 'amd64' }));
    expect(store.list()).toHaveLength(1);
    store.remove('app:1');
    expect(blobsOf(store)).toHaveLength(3);
  });
});

describe.skipIf(isRoot())(titled('Store.collect', isRoot()), () => {
  test('keeps all that an index within the index refers to, and removes it with the index', async () => {
    const store = newStore();
    const { blobs } = putIndex(store);
    await load(store, dockerArchive({ ...IMAGE, architecture: 'amd64', config: { Env: ['A=1'] } }));
    await use(store, 'many');
    store.remove('app:1');
    expect(blobsOf(store)).toEqual([...new Set(blobs.entries.map(({ name }) => name.slice(13)))].sort());
    expect(await use(store, 'many')).toEqual([['f', 'g'], ['f']]);
    expect(store.remove('many').untagged).toEqual(['many:latest']);
    expect(blobsOf(store)).toEqual([]);
    expect(readdirSync(join(store.root, 'layers'))).toEqual([]);
  });

  test('leaves for a day what another program may be about to name', () => {
    const store = newStore();
    const coming = join(store.root, 'blobs/sha256', 'a'.repeat(64));
    const ours = join(store.root, 'blobs/sha256', 'b'.repeat(64));
    writeFileSync(coming, 'coming');
    writeFileSync(ours, 'left over');
    chmodSync(ours, 0o400);
    store.collect();
    expect(blobsOf(store)).toEqual(['a'.repeat(64)]);
  });

  test('removes nothing where what a damaged document needs is not known, and says so', async () => {
    const store = newStore();
    const { digest } = putIndex(store);
    await load(store, dockerArchive({ ...IMAGE, names: ['b:1'], architecture: 'amd64', config: { Env: ['A=1'] } }));
    const path = join(store.root, 'blobs/sha256', digest.slice(7));
    const before = blobsOf(store);
    const bytes = readFileSync(path);
    writeFileSync(path, '{}');
    expect(store.remove('b:1').collected).toMatchObject({ layers: [], damaged: [digest] });
    expect(blobsOf(store)).toEqual(before);
    writeFileSync(path, bytes);
    // The next that opens the store ends it.
    expect(existsSync(join(store.root, 'collect.pending'))).toBe(true);
    openStore(store.root);
    expect(blobsOf(store)).toHaveLength(8);
    expect(existsSync(join(store.root, 'collect.pending'))).toBe(false);
  });

  test('removes an image by its name though its documents are damaged', async () => {
    const store = newStore();
    await load(store, dockerArchive({ ...IMAGE, architecture: 'amd64' }));
    const [manifest = ''] = store.resolve('app:1').manifests;
    const path = join(store.root, 'blobs/sha256', manifest.slice(7));
    chmodSync(path, 0o600);
    writeFileSync(path, 'x');
    utimesSync(path, 0, 0);
    expect(store.remove('app:1').untagged).toEqual(['app:1']);
    expect(blobsOf(store)).toEqual([]);
    expect(readdirSync(join(store.root, 'layers'))).toEqual([]);
  });
});

const noTools = firstMissing(isRoot(), has('skopeo'), has('umoci'));

describe.skipIf(noTools)(titled('Store written and read by skopeo and umoci', noTools), () => {
  test('is one layout for all three', async () => {
    const store = newStore();
    const archive = join(temporary(), 'image.tar');
    writeFileSync(archive, dockerArchive(IMAGE));
    run('skopeo', 'copy', `docker-archive:${archive}`, `oci:${store.root}:copied:2`);
    expect(await use(store, 'copied:2')).toEqual([['f', 'g'], ['f']]);
    store.tag('copied:2', ['docker.io/library/ours:1']);
    expect(run('umoci', 'list', '--layout', store.root).trim().split('\n')).toEqual([
      'copied:2',
      'docker.io/library/ours:1',
    ]);
    expect(run('umoci', 'stat', '--image', `${store.root}:docker.io/library/ours:1`)).toMatch(/^LAYER/);
    const shown = JSON.parse(run('skopeo', 'inspect', `oci:${store.root}:docker.io/library/ours:1`)) as {
      Layers: string[];
    };
    expect(shown.Layers).toHaveLength(2);
    // umoci changes the layout itself: a config, a tag, a layer on top, and its own garbage collection.
    const layer = join(temporary(), 'layer.tar');
    writeFileSync(layer, tar({ name: 'h', data: 'z' }));
    run('umoci', 'config', '--image', `${store.root}:copied:2`, '--tag', 'changed', '--config.env', 'B=2');
    run('umoci', 'raw', 'add-layer', '--image', `${store.root}:changed`, layer);
    run('umoci', 'tag', '--image', `${store.root}:changed`, 'again');
    run('umoci', 'rm', '--image', `${store.root}:copied:2`);
    run('umoci', 'gc', '--layout', store.root);
    expect(store.list().flatMap(({ names }) => names)).toEqual([
      'docker.io/library/ours:1',
      'docker.io/library/changed:latest',
      'docker.io/library/again:latest',
    ]);
    expect(store.resolve('changed').config.env).toContain('B=2');
    expect(await use(store, 'again')).toEqual([['h'], ['f', 'g'], ['f']]);
    for (const name of ['ours:1', 'changed', 'again']) store.remove(name);
    expect(blobsOf(store)).toEqual([]);
    expect(readdirSync(join(store.root, 'layers'))).toEqual([]);
  });
});
