import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { parseJson } from '../../runner/image/json.ts';
import { findRepeatedMember } from '../../runner/image/json-members.ts';
import { parseConfiguration, parseIndex, parseManifest } from '../../runner/image/manifest.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { named, OciBlobs, sha256, tar } from './archives.ts';
import { load, newStore } from './ground.ts';

const LAYER = tar({ name: 'f', data: 'x' });
const DIGEST = `sha256:${'1'.repeat(64)}`;
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';
const CONFIG = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: DIGEST, size: 2 };

type Parser = (bytes: Buffer, where: string) => unknown;

function parse(parser: Parser, document: unknown): () => unknown {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  return () => parser(Buffer.from(text), 'it');
}

const manifest = (changes: object): object => ({ schemaVersion: 2, config: CONFIG, layers: [], ...changes });
const layer = (changes: object): object =>
  manifest({ layers: [{ mediaType: LAYER_TYPE, digest: DIGEST, size: 1, ...changes }] });
const index = (changes: object): object => ({ schemaVersion: 2, manifests: [], ...changes });
const rootfs = { type: 'layers', diff_ids: [DIGEST] };
const config = (changes: object): object => ({ os: 'linux', architecture: 'amd64', rootfs, ...changes });
const process = (changes: object): object => config({ config: changes });
const text = (document: object, more: string): string => `${JSON.stringify(document).slice(0, -1)},${more}}`;

// What a lenient reader does with each stands beside it.
const CASES: readonly (readonly [string, Parser, unknown, RegExp])[] = [
  // It joins the digest to a path.
  ['a digest that is a path', parseManifest, layer({ digest: 'sha256:../../../etc/passwd' }), /not a sha256 digest/],
  ['a digest with a path after it', parseManifest, layer({ digest: `${DIGEST}/../x` }), /not a sha256 digest/],
  ['a digest with a newline after it', parseManifest, layer({ digest: `${DIGEST}\n` }), /not a sha256 digest/],
  // It checks nothing, for want of the algorithm.
  ['an unknown algorithm', parseManifest, layer({ digest: `sha3:${'1'.repeat(64)}` }), /not a sha256 digest/],
  ['an empty algorithm', parseManifest, layer({ digest: `:${'1'.repeat(64)}` }), /not a sha256 digest/],
  // On a disk without case, or by comparison as text, it is another blob.
  ['a digest in capitals', parseManifest, layer({ digest: `sha256:${'A'.repeat(64)}` }), /not a sha256 digest/],
  ['a digest that is no string', parseManifest, layer({ digest: [DIGEST] }), /not a string/],
  // It allocates, or skips the check.
  ['a negative size', parseManifest, layer({ size: -1 }), /not a size/],
  ['a size that is a fraction', parseManifest, layer({ size: 1.5 }), /not a size/],
  ['a size beyond 2^53', parseManifest, text(manifest({ layers: undefined }), `"layers":[{"size":1e300}]`), /not a/],
  ['a size that is a text', parseManifest, layer({ size: '1' }), /not a size/],
  // Two readers see two images (CVE-2021-41190).
  ['an index that is a manifest', parseIndex, index({ layers: [], config: CONFIG }), /index and a manifest at once/],
  ['a manifest that is an index', parseManifest, manifest({ manifests: [] }), /index and a manifest at once/],
  ['the same in capitals, as Go reads it', parseIndex, index({ Layers: [] }), /some readers take for "layers"/],
  ['a manifest with Manifests', parseManifest, manifest({ Manifests: [] }), /some readers take for "manifests"/],
  ['a layer with two digests but for case', parseManifest, layer({ Digest: DIGEST }), /some readers take for "digest"/],
  ['two rootfs but for case', parseConfiguration, config({ RootFS: rootfs }), /some readers take for "rootfs"/],
  ['layers twice', parseManifest, text(manifest({}), '"layers":[]'), /member "layers" twice/],
  ['layers twice, once escaped', parseManifest, text(manifest({}), '"l\\u0061yers":[]'), /member "layers" twice/],
  ['manifests twice', parseIndex, text(index({}), '"manifests":[]'), /member "manifests" twice/],
  ['rootfs twice', parseConfiguration, text(config({}), '"rootfs":{}'), /member "rootfs" twice/],
  ['a digest twice', parseManifest, `{"layers":[{"digest":"a","digest":"b"}]}`, /member "digest" twice/],
  // It takes what it can make of it.
  ['schema 1', parseManifest, { schemaVersion: 1, name: 'x', fsLayers: [{ blobSum: DIGEST }] }, /schema version 2/],
  ['a schema version that is a text', parseManifest, manifest({ schemaVersion: '2' }), /schema version 2/],
  ['no object', parseManifest, [], /not an object/],
  ['null', parseConfiguration, null, /not an object/],
  ['a layer that is null', parseManifest, manifest({ layers: [null] }), /layers\[0\] is not an object/],
  ['a layer of a type that runs', parseManifest, layer({ mediaType: 'application/x-sh' }), /cannot be unpacked/],
  ['an encrypted layer', parseManifest, layer({ mediaType: `${LAYER_TYPE}+encrypted` }), /cannot be unpacked/],
  ['bytes that are no UTF-8', (_, where) => parseManifest(Buffer.from([0x22, 0xff, 0x22]), where), '', /not JSON/],
  ['a byte order mark within', parseManifest, `\ufeff\ufeff{}`, /not JSON/],
  ['nothing', parseManifest, '', /not JSON/],
  // The kernel ends the string at the NUL: another command than the one shown.
  ['a command with a NUL', parseConfiguration, process({ Cmd: ['sh', 'a\0b'] }), /config.Cmd has a NUL character/],
  ['an entrypoint with a NUL', parseConfiguration, process({ Entrypoint: ['/bin/x\0'] }), /Entrypoint has a NUL/],
  ['a variable with a NUL', parseConfiguration, process({ Env: ['A=\0'] }), /config.Env has a NUL/],
  ['a user with a NUL', parseConfiguration, process({ User: '0\0' }), /config.User has a NUL/],
  ['a working directory with a NUL', parseConfiguration, process({ WorkingDir: '/\0' }), /config.WorkingDir has a NUL/],
  ['an Env that is a text', parseConfiguration, process({ Env: 'A=1' }), /config.Env is not an array/],
  ['a Cmd of numbers', parseConfiguration, process({ Cmd: [1] }), /config.Cmd\[0\] is not a string/],
  ['labels that are objects', parseConfiguration, process({ Labels: { a: {} } }), /config.Labels.a is not a string/],
  ['another kind of rootfs', parseConfiguration, config({ rootfs: { type: 'chroot' } }), /rootfs.type is not "layers"/],
];

describe('what is read of a manifest, index or configuration', () => {
  test.each(CASES)('refuses %s', (_, parser, document, message) => {
    expect(parse(parser, document)).toThrow(message);
  });

  // A reader by recursion runs out of stack, which is no error that it can handle.
  test('refuses a million arrays or objects within each other', () => {
    const nested = [
      '['.repeat(2 ** 21) + ']'.repeat(2 ** 21),
      `${'{"a":'.repeat(2 ** 19)}1${'}'.repeat(2 ** 19)}`,
      `${JSON.stringify(manifest({})).slice(0, -1)},"x":${'['.repeat(10 ** 6)}${']'.repeat(10 ** 6)}}`,
    ];
    for (const parser of [parseIndex, parseConfiguration]) {
      for (const document of nested) expect(parse(parser, document)).toThrow(/^it(\.\w+)? is not|^it claims/);
    }
    // What is none of its members does no harm.
    expect(parse(parseManifest, nested[2])).not.toThrow();
  });

  test('takes the names of inherited members for names', () => {
    const odd = '{"__proto__":{"polluted":"yes"},"constructor":{"prototype":{"polluted":"yes"}}}';
    const labels = '{"__proto__":"a","constructor":"b","toString":"c"}';
    const document = `{"os":"linux","architecture":"amd64","rootfs":${JSON.stringify(rootfs)},"__proto__":${odd},
      "config":{"__proto__":${odd},"Labels":${labels},"Volumes":${odd},"ExposedPorts":${odd}}}`;
    const { config: parsed } = parseConfiguration(Buffer.from(document), 'it');
    expect(Object.entries(parsed.labels)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
      ['toString', 'c'],
    ]);
    expect(parsed.volumes).toEqual(['__proto__', 'constructor']);
    expect(parsed.env).toEqual([]);
    expect(({} as { polluted?: string }).polluted).toBeUndefined();
    // Inherited, a digest would be one that the document does not have.
    expect(parse(parseManifest, `{"schemaVersion":2,"__proto__":${JSON.stringify(manifest({}))}}`)).toThrow(
      /not an array/,
    );
  });
});

describe('findRepeatedMember', () => {
  test('finds none in what JSON.stringify makes of anything, and each that is written twice', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(findRepeatedMember(JSON.stringify(value, null, 1))).toBeUndefined();
      }),
    );
    const member = fc.tuple(fc.string(), fc.jsonValue());
    const unique = fc.uniqueArray(member, { selector: ([name]) => name, minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(unique, fc.nat(), fc.jsonValue(), (members, at, other) => {
        const [name] = members[at % members.length] ?? [''];
        const all = [...members, [name, other] as const];
        const written = all.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',');
        expect(findRepeatedMember(`[{"x":{${written}}}]`)).toBe(name);
        expect(parseJson(Buffer.from(`{${written}}`), 'it')).toBeTypeOf('object');
      }),
    );
  });
});

describe.skipIf(isRoot())(titled('loadArchive', isRoot()), () => {
  test('takes annotations, labels and names of inherited members for what they are', async () => {
    const store = newStore();
    const blobs = new OciBlobs();
    const config = JSON.parse('{"Labels":{"__proto__":"x"},"Volumes":{"__proto__":{}}}') as object;
    const found = blobs.addImage({ layers: [LAYER], config }, (bytes) => bytes);
    const annotations = JSON.parse('{"__proto__":"x","constructor":"y"}') as object;
    const descriptor = named(found, 'x') as { annotations: object };
    await load(store, blobs.archive([{ ...descriptor, annotations: { ...annotations, ...descriptor.annotations } }]));
    expect(Object.entries(store.resolve('x').config.labels)).toEqual([['__proto__', 'x']]);
  });

  // One that fetches them tells whoever made the image, and may send credentials along (CVE-2020-15157).
  test('asks no URL that a manifest names', async () => {
    const store = newStore();
    const blobs = new OciBlobs();
    blobs.addImage({ layers: [LAYER] }, (bytes) => bytes);
    const made = blobs.entries.map(({ name, data }) => ({
      digest: `sha256:${name.split('/')[2] ?? ''}`,
      size: data?.length,
    }));
    const foreign = { ...made[1], mediaType: LAYER_TYPE, urls: ['http://169.254.169.254/', 'file:///etc/passwd'] };
    const missing = { ...foreign, digest: `sha256:${sha256(Buffer.from('elsewhere'))}` };
    const archive = (layer: object): Buffer => {
      const document = manifest({ config: { ...CONFIG, ...made[0] }, layers: [layer] });
      const descriptor = blobs.add('application/vnd.oci.image.manifest.v1+json', Buffer.from(JSON.stringify(document)));
      return blobs.archive([named(descriptor, 'x')]);
    };
    await expect(load(store, archive(missing))).rejects.toThrow(
      /layer "blobs\/sha256\/[0-9a-f]+" is not in the archive/,
    );
    await load(store, archive(foreign));
    expect(readdirSync(join(store.resolve('x').layers[0] ?? ''))).toEqual(['f']);
  });
});
