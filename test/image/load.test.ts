import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';

import { DEFAULT_LIMITS } from '../../runner/image/limits.ts';
import { parsePlatform } from '../../runner/image/platform.ts';
import { type Store } from '../../runner/image/store.ts';
import { firstMissing, has, isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, named, OciBlobs, ociArchive, sha256, tar } from './archives.ts';
import { isLayer, load, newStore, snapshot } from './ground.ts';

const BOTTOM = tar({ name: 'etc/', type: '5' }, { name: 'etc/name', data: 'bottom' }, { name: 'gone' });
const TOP = tar({ name: 'etc/name', data: 'top' }, { name: '.wh.gone' });
const IMAGE = { layers: [BOTTOM, TOP], names: ['debian:12'] };
const DIFF_IDS = IMAGE.layers.map((layer) => `sha256:${sha256(layer)}`);

/** All that a load leaves in a store that nothing came into. */
function contents({ root }: Store): string[] {
  return ['layers', 'blobs/sha256', 'tmp'].flatMap((name) => readdirSync(join(root, name)));
}

function index({ root }: Store): { manifests: { digest: string; annotations?: Record<string, string> }[] } {
  return JSON.parse(readFileSync(join(root, 'index.json'), 'utf8')) as ReturnType<typeof index>;
}

describe.skipIf(isRoot())(titled('loadArchive', isRoot()), () => {
  test('loads a docker-archive: names, layers topmost first, blobs', async () => {
    const store = newStore();
    const config = { Env: ['A=1'], Cmd: ['sh'], ExposedPorts: { '80/tcp': {} }, Labels: null, StopSignal: 'SIGINT' };
    await load(store, dockerArchive({ ...IMAGE, config }));
    const image = store.resolve('debian:12');
    expect(image).toMatchObject({
      names: ['docker.io/library/debian:12'],
      diffIds: DIFF_IDS,
      platform: { os: 'linux', architecture: 'amd64', variant: '' },
      config: { env: ['A=1'], cmd: ['sh'], entrypoint: [], exposedPorts: ['80/tcp'], labels: {}, stopSignal: 'SIGINT' },
    });
    const [top = '', bottom = ''] = image.layers;
    expect(readFileSync(join(top, 'etc/name'), 'utf8')).toBe('top');
    expect(readFileSync(join(bottom, 'etc/name'), 'utf8')).toBe('bottom');
    expect(snapshot(top, false)).toContain('gone 20000 0:0 device 0');
    expect(store.sizeOf(image)).toBe('bottom'.length + 'top'.length);
    for (const layer of IMAGE.layers) {
      expect(sha256(readFileSync(join(store.root, 'blobs/sha256', sha256(layer))))).toBe(sha256(layer));
    }
  });

  test('loads an OCI archive and keeps its manifest as it is', async () => {
    const store = newStore();
    const blobs = new OciBlobs();
    const manifest = blobs.addImage(IMAGE);
    await load(store, blobs.archive([named(manifest, 'debian:12')]));
    expect(store.resolve('debian:12')).toMatchObject({ manifests: [manifest.digest], diffIds: DIFF_IDS });
  });

  test('loads what is compressed as a whole', async () => {
    for (const archive of [dockerArchive(IMAGE), ociArchive(IMAGE)]) {
      const store = newStore();
      await load(store, gzipSync(archive));
      expect(store.resolve('debian:12').diffIds).toEqual(DIFF_IDS);
    }
  });

  test('loads images without a name, and several with layers in common', async () => {
    const store = newStore();
    const other = { layers: [BOTTOM], names: ['one', 'two:2'] };
    const loaded = await load(store, dockerArchive({ layers: [BOTTOM, TOP] }, other));
    expect(loaded.map(({ names }) => names)).toEqual([[], ['docker.io/library/one:latest', 'docker.io/library/two:2']]);
    expect(store.resolve(loaded[0]?.id ?? '').names).toEqual([]);
    expect(store.resolve('two:2').id).toBe(store.resolve('one').id);
    expect(readdirSync(join(store.root, 'layers')).filter(isLayer)).toHaveLength(2);
  });

  test('loads images that share a layer at different heights', async () => {
    const store = newStore();
    await load(store, dockerArchive({ layers: [BOTTOM, TOP], names: ['a'] }, { layers: [TOP, BOTTOM], names: ['b'] }));
    expect(store.resolve('b').diffIds).toEqual(DIFF_IDS.toReversed());
    expect(snapshot(store.resolve('b').layers[1] ?? '', false)).not.toContain('gone 20000 0:0 device 0');
  });

  test('follows links in a docker-archive, whose layers may be one', async () => {
    const store = newStore();
    const config = Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: [DIFF_IDS[0], DIFF_IDS[0]] },
      }),
    );
    const archive = tar(
      { name: 'b/layer.tar', type: '2', linkname: '../a/layer.tar' },
      { name: 'a/layer.tar', data: BOTTOM },
      { name: 'config.json', data: config },
      { name: 'c.tar', type: '1', linkname: 'b/layer.tar' },
      {
        name: './manifest.json',
        data: JSON.stringify([{ Config: 'config.json', RepoTags: ['x'], Layers: ['b/layer.tar', 'c.tar'] }]),
      },
    );
    await load(store, archive);
    expect(store.resolve('x').layers).toHaveLength(2);
  });

  test('loads what docker 25 and later save: both forms in one, full names in its own', async () => {
    const store = newStore();
    const blobs = new OciBlobs();
    const manifest = blobs.addImage(IMAGE, (layer) => layer);
    const blob = (digest: string): string => `blobs/sha256/${digest.slice('sha256:'.length)}`;
    const config = blobs.entries[0]?.name ?? '';
    const archive = blobs.archive([named(manifest, '12')]).subarray(0, -1024);
    const own = JSON.stringify([{ Config: config, RepoTags: ['debian:12'], Layers: DIFF_IDS.map(blob) }]);
    await load(store, Buffer.concat([archive, tar({ name: 'manifest.json', data: own })]));
    expect(store.list()).toMatchObject([{ names: ['docker.io/library/debian:12'], diffIds: DIFF_IDS }]);
  });

  test('gives a name to an image, and takes it from the one that had it', async () => {
    const store = newStore();
    const [first] = await load(store, dockerArchive({ layers: [BOTTOM], names: ['old', 'both'] }));
    await load(store, dockerArchive({ layers: [TOP], names: ['ignored'] }), { name: 'docker.io/library/both:latest' });
    expect(store.resolve('old').names).toEqual(['docker.io/library/old:latest']);
    expect(store.resolve('both').id).not.toBe(first?.id);
    expect(() => store.resolve('ignored')).toThrow(/not in the store/);
    await load(store, dockerArchive({ layers: [TOP], names: ['old'] }));
    expect(store.resolve(first?.id ?? '').names).toEqual([]);
    expect(index(store).manifests).toHaveLength(3);
  });

  test('loads the same archive twice without a change', async () => {
    const store = newStore();
    await load(store, dockerArchive(IMAGE));
    const before = snapshot(store.root, false);
    await load(store, dockerArchive(IMAGE));
    expect(snapshot(store.root, false)).toEqual(before);
  });

  test('loads at the same time as others', async () => {
    const store = newStore();
    await Promise.all(
      Array.from({ length: 4 }, (_, at) => load(store, dockerArchive({ ...IMAGE, names: [`image${at}`] }))),
    );
    expect(store.list()[0]?.names).toHaveLength(4);
    expect(readdirSync(join(store.root, 'tmp'))).toEqual([]);
  });
});

const noZstd = firstMissing(isRoot(), has('zstd'));

describe.skipIf(noZstd)(titled('loadArchive with zstd', noZstd), () => {
  const zstd = (bytes: Buffer): Buffer => spawnSync('zstd', ['-q', '-c'], { input: bytes, maxBuffer: 2 ** 30 }).stdout;

  test('reads layers, and frames one after the other', async () => {
    const store = newStore();
    const big = tar({ name: 'big', data: Buffer.alloc(3_000_000, 'abc') });
    const halves = (bytes: Buffer): Buffer =>
      Buffer.concat([zstd(bytes.subarray(0, 1000)), zstd(bytes.subarray(1000))]);
    await load(store, ociArchive({ layers: [big, TOP], names: ['z'] }, halves));
    expect(readFileSync(join(store.resolve('z').layers[1] ?? '', 'big'))).toHaveLength(3_000_000);
  });

  test('tells damaged from truncated', async () => {
    const layer = tar({ name: 'f', data: Buffer.from(Array.from({ length: 5000 }, (_, at) => (at * 7919) % 251)) });
    const cut = ociArchive({ layers: [layer] }, (bytes) => zstd(bytes).subarray(0, -40));
    const broken = ociArchive({ layers: [layer] }, (bytes) =>
      Buffer.concat([zstd(bytes).subarray(0, 20), Buffer.alloc(500, 255)]),
    );
    await expect(load(newStore(), cut)).rejects.toThrow(/zstd data ends early|damaged/);
    await expect(load(newStore(), broken)).rejects.toThrow(/zstd data is damaged|ends early/);
  });
});

describe.skipIf(isRoot())(titled('loadArchive refuses', isRoot()), () => {
  const wrong = `sha256:${'0'.repeat(64)}`;

  function spoiledOci(): Buffer {
    const blobs = new OciBlobs();
    const manifest = blobs.addImage(IMAGE);
    const layer = blobs.entries.findIndex(({ data }) => Buffer.isBuffer(data) && data[0] === 0x1f);
    const { name, data } = blobs.entries[layer] ?? { name: '' };
    const bytes = Buffer.from(data ?? '');
    bytes.writeUInt8(bytes.readUInt8(30) ^ 1, 30);
    blobs.entries[layer] = { name, data: bytes };
    return blobs.archive([manifest]);
  }

  function nested(depth: number): Buffer {
    const blobs = new OciBlobs();
    let inner: object = blobs.addImage(IMAGE);
    for (let level = 0; level < depth; level++) inner = blobs.addIndex([inner]);
    return blobs.archive([inner]);
  }

  function documentArchive(document: object, mediaType = 'application/vnd.oci.image.manifest.v1+json'): Buffer {
    const blobs = new OciBlobs();
    blobs.addImage(IMAGE);
    return blobs.archive([blobs.add(mediaType, Buffer.from(JSON.stringify(document)))]);
  }

  const traversal = dockerArchive({ layers: [tar({ name: '../../evil' })] });
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    ['nothing', Buffer.alloc(0), /archive is empty/],
    ['what is no archive', Buffer.alloc(5000, 'x'), /no tar archive/],
    ['xz data that is damaged', Buffer.from('\xfd7zXZ\0damaged data', 'latin1'), /xz data is damaged/],
    ['an archive that is no image', tar({ name: 'readme' }), /neither manifest.json nor oci-layout.*readme/],
    ['an archive of an old docker', tar({ name: 'repositories' }), /older than 1.10/],
    [
      'a layer with a wrong diffID',
      dockerArchive({ ...IMAGE, diffIds: [DIFF_IDS[0] ?? '', wrong] }),
      /layer sha256:0+: its content has another digest: sha256:/,
    ],
    ['a blob with a wrong digest', spoiledOci(), /layer sha256:[0-9a-f]+ has another content/],
    [
      'fewer layers than diffIDs',
      dockerArchive({ ...IMAGE, diffIds: [...DIFF_IDS, wrong] }),
      /has 2 layers, where its configuration names 3/,
    ],
    [
      'a diffID that is a path',
      dockerArchive({ ...IMAGE, diffIds: ['../../etc', wrong] }),
      /is not a sha256 digest: "..\/..\/etc"/,
    ],
    ['indexes too deep', nested(8), /more than 4 deep/],
    ['a layer with a climbing name', traversal, /^layer sha256:[0-9a-f]+: entry "..\/..\/evil": its name climbs/],
    [
      'a manifest that is an index too',
      documentArchive({ schemaVersion: 2, layers: [], manifests: [] }),
      /index and a manifest at once/,
    ],
    [
      'a manifest of another type than said',
      documentArchive({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', layers: [] }),
      /another type/,
    ],
    ['a manifest without layers', documentArchive({ schemaVersion: 2 }), /layers is not an array/],
    ['a manifest that is no object', documentArchive([]), /is not an object/],
    [
      'a configuration that is missing',
      tar({ name: 'manifest.json', data: '[{"Config":"c.json","Layers":[]}]' }),
      /configuration "c.json" is not in the archive/,
    ],
    [
      'a link that leads nowhere',
      tar(
        { name: 'c.json', type: '2', linkname: '../../etc/passwd' },
        { name: 'manifest.json', data: '[{"Config":"c.json","Layers":[]}]' },
      ),
      /not in the archive/,
    ],
    [
      'links in a circle',
      tar(
        { name: 'c.json', type: '2', linkname: 'c.json' },
        { name: 'manifest.json', data: '[{"Config":"c.json","Layers":[]}]' },
      ),
      /not in the archive/,
    ],
    // podman takes the first, docker the last: a scanner may look at the other one.
    [
      'two manifests',
      tar({ name: 'manifest.json', data: '[]' }, { name: './manifest.json', data: '[{}]' }),
      /entry ".\/manifest.json": it is in the archive twice, with different contents/,
    ],
    [
      'a manifest that becomes a link',
      tar({ name: 'manifest.json', data: '[]' }, { name: 'manifest.json', type: '2', linkname: 'other' }),
      /in the archive twice/,
    ],
    ['a name that is none', dockerArchive({ ...IMAGE, names: ['../x'] }), /image name "..\/x" is not valid/],
    ['a manifest over 4 MiB', tar({ name: 'manifest.json', data: Buffer.alloc(2 ** 22 + 1, ' ') }), /over the limit/],
    [
      'an image for another machine',
      dockerArchive({ ...IMAGE, architecture: 'arm64' }),
      /image docker.io\/library\/debian:12 is for linux\/arm64, not for linux\/amd64; --platform linux\/arm64/,
    ],
    [
      'an OCI image for another machine',
      ociArchive({ ...IMAGE, architecture: 's390x' }),
      /is for linux\/s390x, not for linux\/amd64/,
    ],
  ];

  test.each(cases)('%s, and keeps nothing of it', async (_, archive, message) => {
    const store = newStore();
    await expect(load(store, archive)).rejects.toThrow(message);
    expect(contents(store)).toEqual([]);
    expect(index(store).manifests).toEqual([]);
  });

  test('an archive cut anywhere, plain or compressed', async () => {
    for (const archive of [
      dockerArchive(IMAGE),
      gzipSync(dockerArchive(IMAGE)),
      ociArchive(IMAGE),
      gzipSync(ociArchive(IMAGE)),
    ]) {
      const end = archive.length - (archive[0] === 0x1f ? 0 : 1024);
      for (let part = 1; part < 20; part++) {
        const store = newStore();
        const cut = archive.subarray(0, Math.floor((end * part) / 20));
        await expect(load(store, cut)).rejects.toThrow(/truncated|no tar archive|ends early|is missing|neither/);
        expect(contents(store)).toEqual([]);
      }
    }
  });

  test('a bomb', async () => {
    const store = newStore();
    const bomb = tar({ name: 'zeros', data: Buffer.alloc(4 * 2 ** 20) });
    const limits = { ...DEFAULT_LIMITS, ratio: 100, ratioFreeBytes: 2 ** 20 };
    await expect(load(store, ociArchive({ layers: [bomb] }), { limits })).rejects.toThrow(
      /its unpacked size .* over the limit of 100; --limit ratio=N/,
    );
    expect(contents(store)).toEqual([]);
  });

  test('an archive that is a bomb as a whole, before it is on disk', async () => {
    const store = newStore();
    const bomb = gzipSync(tar({ name: 'zeros', data: Buffer.alloc(4 * 2 ** 20) }));
    const limits = { ...DEFAULT_LIMITS, ratio: 100, ratioFreeBytes: 2 ** 20 };
    await expect(load(store, bomb, { limits })).rejects.toThrow(
      /its unpacked size .* over the limit of 100; --limit ratio=N/,
    );
    expect(contents(store)).toEqual([]);
  });

  test('an archive whose files together are larger than it may be', async () => {
    const store = newStore();
    const files = Array.from({ length: 4 }, () => ({ name: 'same', data: Buffer.alloc(300_000) }));
    const limits = { ...DEFAULT_LIMITS, archiveBytes: 2 ** 20 };
    await expect(load(store, tar(...files), { limits })).rejects.toThrow(
      /its uncompressed size is over the limit of 1048576; --limit archive-size=N/,
    );
    expect(contents(store)).toEqual([]);
  });

  test('a second image and with it the first, whose names stay where they were', async () => {
    const store = newStore();
    const [before] = await load(store, dockerArchive({ layers: [BOTTOM], names: ['kept'] }));
    const archive = dockerArchive({ layers: [TOP], names: ['kept'] }, { layers: [BOTTOM], diffIds: [wrong] });
    await expect(load(store, archive)).rejects.toThrow(/another digest/);
    expect(store.resolve('kept').id).toBe(before?.id);
    expect(readdirSync(join(store.root, 'layers')).filter(isLayer)).toHaveLength(1);
  });
});

describe.skipIf(isRoot())(titled('loadArchive by platform', isRoot()), () => {
  function archive(): Buffer {
    const blobs = new OciBlobs();
    const manifests = ['amd64', 'arm64'].map((architecture) => ({
      ...blobs.addImage({ layers: [tar({ name: architecture })], architecture }),
      platform: { os: 'linux', architecture },
    }));
    const attestation = {
      ...blobs.addImage({ layers: [BOTTOM], architecture: 'unknown' }),
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
    };
    return blobs.archive([named(blobs.addIndex([...manifests, attestation]), 'multi')]);
  }

  test.each(['amd64', 'arm64'])('takes %s from an index', async (architecture) => {
    const store = newStore();
    await load(store, archive(), { platform: parsePlatform(`linux/${architecture}`) });
    expect(readdirSync(store.resolve('multi').layers[0] ?? '')).toEqual([architecture]);
  });

  test('names all platforms where none fits', async () => {
    const loading = load(newStore(), archive(), { platform: parsePlatform('linux/riscv64') });
    await expect(loading).rejects.toThrow(/is for linux\/amd64, linux\/arm64, not for linux\/riscv64/);
  });
});
