import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';

import { DEFAULT_LIMITS, describeLimits, type Limits, parseLimits } from '../../runner/image/limits.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { type ArchiveEntry, dockerArchive, OciBlobs, ociArchive, sha256, tar } from './archives.ts';
import { CommandLine } from './command-line.ts';
import { FakeRegistry } from './fake-registry.ts';
import { load, newStore, Target } from './ground.ts';
import { pull } from './pulling.ts';

const LAYER = tar({ name: 'f', data: 'x' });
const INDEX = 'application/vnd.oci.image.index.v1+json';

function limited(limits: Partial<Limits>): { limits: Limits } {
  return { limits: { ...DEFAULT_LIMITS, ...limits } };
}

describe('parseLimits', () => {
  test('knows each limit by its name, with a unit', () => {
    const names = describeLimits().map((line) => line.trim().split(' ')[0] ?? '');
    const limits = parseLimits(names.map((name) => `${name}=2k`));
    const changed = Object.keys(limits).filter((key) => limits[key as keyof Limits] === 2048);
    expect(changed).toHaveLength(names.length);
    // What has no name of its own is part of what the ratio means.
    expect(Object.keys(limits).filter((key) => !changed.includes(key))).toEqual(['ratioFreeBytes']);
  });

  test.each(['', 'layers', 'layers=', 'layers=-1', 'layers=1=2', 'constructor=1', '__proto__=1', 'layers=0x10'])(
    'refuses %j',
    (option) => {
      expect(() => parseLimits([option])).toThrow(/is not/);
    },
  );
});

describe.skipIf(isRoot())(titled('lamina load --limit', isRoot()), () => {
  const machine = process.arch === 'x64' ? 'amd64' : process.arch;
  const zeros = tar({ name: 'a/b/c/zeros', data: Buffer.alloc(2 ** 20), pax: { comment: 'x'.repeat(2000) } });
  const archive = dockerArchive(
    { layers: [LAYER, zeros], names: ['one'], architecture: machine },
    { layers: [LAYER], names: ['two'], architecture: machine },
  );

  const cases: readonly (readonly [string, string])[] = [
    ['archive-size', '1m'],
    ['layer-size', '1m'],
    ['entries', '4'],
    ['layers', '1'],
    ['manifests', '1'],
    ['depth', '2'],
    ['pax-size', '1k'],
    ['retained', '1k'],
  ];

  test.each(cases)('%s=%s: the message names the limit and the option', (name, value) => {
    const line = new CommandLine();
    const { status, stderr } = line.call(['load', '--limit', `${name}=${value}`], archive);
    expect(status).toBe(1);
    const bytes = value.replace('1m', '1048576').replace('1k', '1024');
    expect(stderr).toMatch(
      new RegExp(`^lamina: cannot load [^\\n]* is over the limit of ${bytes}; --limit ${name}=N sets another\\n$`),
    );
    expect(readdirSync(join(line.root, 'layers'))).toEqual([]);
    expect(line.call(['load', '--help']).stdout).toMatch(new RegExp(`^  ${name} .*\\(default: \\d+[kmg]?\\)$`, 'm'));
  });
});

// A reader without these reads, makes or keeps as much as the archive's maker likes.
describe.skipIf(isRoot())(titled('loadArchive refuses', isRoot()), () => {
  test('10,000 layers', async () => {
    const layers = Array.from({ length: 10_000 }, () => 'l');
    const diffIds = layers.map(() => `sha256:${sha256(LAYER)}`);
    const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } };
    const archive = tar(
      { name: 'l', data: LAYER },
      { name: 'c', data: JSON.stringify(config) },
      { name: 'manifest.json', data: JSON.stringify([{ Config: 'c', RepoTags: ['x'], Layers: layers }]) },
    );
    await expect(load(newStore(), archive)).rejects.toThrow(/has 10000 layers, which is over the limit of 500/);
  });

  test('indexes that name each other more often than could be read', async () => {
    const blobs = new OciBlobs();
    // Some kilobytes, and 200^3 entries; without an image at their end nothing would ever count them.
    let inner: object = blobs.addIndex([]);
    for (let level = 0; level < 3; level++) inner = blobs.addIndex(Array.from({ length: 200 }, () => inner));
    await expect(load(newStore(), blobs.archive([inner]))).rejects.toThrow(/indexes is over the limit of 10000/);
  });

  test('an index of 20,000 images, and a manifest.json of as many', async () => {
    const many = Array.from({ length: 20_000 }, () => 0);
    const blobs = new OciBlobs();
    const manifest = blobs.addImage({ layers: [LAYER] });
    await expect(load(newStore(), blobs.archive(many.map(() => manifest)))).rejects.toThrow(/over the limit of 10000/);
    const images = JSON.stringify(many.map(() => ({ Config: 'c', Layers: [] })));
    await expect(load(newStore(), tar({ name: 'manifest.json', data: images }))).rejects.toThrow(
      /manifest.json with 20000 images is over the limit of 10000/,
    );
  });

  test('more names than may be remembered, of files and of links', async () => {
    const entry = (at: number, type: string): ArchiveEntry => ({
      name: `${at}`,
      type,
      linkname: 'l'.repeat(3000),
      ...(type === '0' ? { name: `${`${'n'.repeat(200)}/`.repeat(15)}${at}` } : {}),
    });
    for (const type of ['0', '1', '2']) {
      const archive = tar(...Array.from({ length: 40 }, (_, at) => entry(at, type)));
      await expect(load(newStore(), archive, limited({ retainedBytes: 100_000 }))).rejects.toThrow(
        /remembered of the archive is over the limit of 100000/,
      );
    }
  });

  test('directories that nobody named, once they are many', async () => {
    // One entry makes 200 of them; without counting, a million entries would make 200 million inodes.
    const archive = tar(...Array.from({ length: 100 }, (_, at) => ({ name: `${at}/${'d/'.repeat(200)}f` })));
    await expect(new Target().unpack(archive, [], { retainedBytes: 2 ** 20 })).rejects.toThrow(
      /remembered of directories .* over the limit/,
    );
  });

  test('what follows the end of a layer, once it is too much', async () => {
    const layer = Buffer.concat([LAYER, Buffer.alloc(2 ** 21)]);
    const archive = ociArchive({ layers: [layer] });
    await expect(load(newStore(), archive, limited({ layerBytes: 2 ** 20 }))).rejects.toThrow(
      /its uncompressed size is over the limit of 1048576/,
    );
    await load(newStore(), archive);
  });
});

describe.skipIf(isRoot())(titled('loadArchive', isRoot()), () => {
  test('takes gzip members one after the other for one archive, and nothing after its end', async () => {
    const store = newStore();
    const layer = Buffer.concat([LAYER, tar({ name: 'hidden' })]);
    const members = (bytes: Buffer): Buffer =>
      Buffer.concat([gzipSync(bytes.subarray(0, 700)), gzipSync(bytes.subarray(700)), gzipSync('')]);
    await load(store, ociArchive({ layers: [layer], names: ['x'] }, members));
    expect(readdirSync(store.resolve('x').layers[0] ?? '')).toEqual(['f']);
  });
});

describe.skipIf(isRoot())(titled('pullImage refuses', isRoot()), () => {
  const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

  test('layers of more bytes than an image may have, before any is asked for', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [LAYER]);
    const config = remote.blob(Buffer.from('{}'), 'application/vnd.oci.image.config.v1+json');
    const layer = {
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      digest: `sha256:${'1'.repeat(64)}`,
      size: 2 ** 50,
    };
    remote.document('big', { schemaVersion: 2, mediaType: MANIFEST, config, layers: [layer] }, MANIFEST);
    await expect(pull(store, remote, ':big')).rejects.toThrow(
      /layers of 1125899906842624 bytes, which is over the limit of 274877906944; --limit archive-size/,
    );
    const small = { ...layer, size: 1 };
    const layers = Array.from({ length: 10_000 }, () => small);
    remote.document('many', { schemaVersion: 2, mediaType: MANIFEST, config, layers }, MANIFEST);
    await expect(pull(store, remote, ':many')).rejects.toThrow(/10000 layers, which is over the limit of 500/);
    expect(remote.blobRequests).toEqual([]);
  });

  test('an index of 20,000 entries; one of 100,000 is too long', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    const entry = { mediaType: MANIFEST, digest: `sha256:${'1'.repeat(64)}`, size: 1 };
    const entries = (count: number): object[] => Array.from({ length: count }, () => entry);
    remote.index('20k', entries(20_000));
    remote.index('100k', entries(100_000));
    await expect(pull(store, remote, ':20k')).rejects.toThrow(/has 20000 entries, which is over the limit of 10000/);
    await expect(pull(store, remote, ':100k')).rejects.toThrow(/is longer than 4194304 bytes/);
    expect(remote.requests.filter((line) => line.includes('/manifests/'))).toHaveLength(2);
  });

  // Whose size it is, the digest does not say: a reader that trusts it takes a bomb's proportion for a good one.
  test('a size that is not that of a layer that the store has', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [LAYER]);
    await pull(store, remote, ':1.0');
    const { bytes } = remote.manifests.get('1.0') ?? { bytes: Buffer.alloc(0) };
    const manifest = JSON.parse(bytes.toString()) as { layers: { size: number }[] };
    const lie = { ...manifest, layers: manifest.layers.map((layer) => ({ ...layer, size: 2 ** 30 })) };
    remote.document('lie', lie, MANIFEST);
    await expect(pull(store, remote, ':lie')).rejects.toThrow(/has \d+ bytes, where its manifest says 1073741824/);
    const twice = { ...manifest, layers: [...manifest.layers, ...lie.layers] };
    remote.document('twice', twice, MANIFEST);
    await expect(pull(store, remote, ':twice')).rejects.toThrow(/where its manifest says 1073741824/);
  });

  test('a manifest of another size or type than its index says', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    const manifest = { ...remote.image('1.0', [LAYER]), platform: { os: 'linux', architecture: 'amd64' } };
    remote.index('longer', [{ ...manifest, size: manifest.size + 1 }]);
    remote.index('other', [{ ...manifest, mediaType: INDEX }]);
    await expect(pull(store, remote, ':longer')).rejects.toThrow(/has \d+ bytes, where its index says/);
    await expect(pull(store, remote, ':other')).rejects.toThrow(/another type than what refers to it says/);
    expect(existsSync(join(store.root, 'blobs/sha256', manifest.digest.slice(7)))).toBe(false);
  });
});
