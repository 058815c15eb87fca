import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { DEFAULT_LIMITS } from '../../runner/image/limits.ts';
import { parseConfiguration, parseIndex, parseManifest } from '../../runner/image/manifest.ts';
import { readTar } from '../../runner/image/tar.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { type ArchiveEntry, attached, dockerArchive, ociArchive, tar } from './archives.ts';
import { inPieces, load, newStore, Target } from './ground.ts';

// LAMINA_SEED tries others and LAMINA_RUNS more; without, every run of the tests is the same.
const SEED = Number(process.env['LAMINA_SEED'] ?? 20_261_124);
const RUNS = Number(process.env['LAMINA_RUNS'] ?? 400);
const BLOCK = 512;

const octal = (value: number): string => `${value.toString(8).padStart(11, '0')}\0`;

const OLD_SPARSE: ArchiveEntry = {
  name: 'old-sparse',
  type: 'S',
  data: 'abcd',
  spoil: (header) => {
    header.write('ustar  \0', 257, 'latin1');
    header.fill(0, 345, BLOCK);
    header.write(octal(2) + octal(2) + octal(100_000) + octal(2) + octal(200_000) + octal(0), 386, 'latin1');
    header.write(octal(200_000), 483, 'latin1');
  },
};

/** All that an archive can have in it. */
const ARCHIVE = tar(
  { name: './', type: '5' },
  { name: 'd/', type: '5', mode: 0o1777 },
  { name: 'd/file', data: 'x'.repeat(700), uid: 5, pax: { mtime: '1.5', 'SCHILY.xattr.user.a': 'b' } },
  { name: 'd/link', type: '1', linkname: 'd/file' },
  { name: 'sym', type: '2', linkname: 'd/file' },
  { name: 'null', type: '3', major: 1, minor: 3 },
  { name: 'fifo', type: '6' },
  attached('L', `${'long/'.repeat(30)}name\0`),
  { name: 'cut', data: 'long' },
  attached('K', `${'long/'.repeat(30)}target\0`),
  { name: 'sym2', type: '2', linkname: 'cut' },
  OLD_SPARSE,
  { name: 'sparse', data: 'abcd', pax: { 'GNU.sparse.size': '99', 'GNU.sparse.map': '1,2,50,2' } },
  {
    name: 'sparse1',
    data: `2\n5\n2\n90\n2\n${'\0'.repeat(BLOCK - 12)}abcd`,
    pax: { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '99', 'GNU.sparse.name': 'real' },
  },
  { name: 'acl', data: 'a', pax: { 'SCHILY.acl.access': 'user::rw-,user:5:r--,group::r--,mask::r--,other::---' } },
  { name: '.wh.gone' },
  { name: 'd/.wh..wh..opq' },
  { name: 'last', data: 'end' },
);

function isHeader(block: Buffer): boolean {
  return block.toString('latin1', 257, 262) === 'ustar';
}

/** A checksum that vouches for what has become of each header: else nearly all damage ends there. */
function mend(bytes: Buffer): void {
  for (let at = 0; at + BLOCK <= bytes.length; at += BLOCK) {
    const block = bytes.subarray(at, at + BLOCK);
    if (!isHeader(block)) continue;
    block.fill(' ', 148, 156);
    const sum = block.reduce((all, byte) => all + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
}

type Damage = (bytes: Buffer) => Buffer;

const nat = fc.nat({ max: ARCHIVE.length - 1 });
const blockAt = fc.nat({ max: ARCHIVE.length / BLOCK - 1 }).map((at) => at * BLOCK);
// Where headers say the most, once more, so that they are often hit.
const field = fc
  .tuple(blockAt, fc.constantFrom(0, 100, 124, 126, 135, 136, 156, 157, 257, 345, 386, 398, 482, 483))
  .map(([at, of]) => at + of);
const offset = fc.oneof(nat, field).map((at) => Math.min(at, ARCHIVE.length - 1));
const byte = fc.oneof(
  fc.nat({ max: 255 }),
  fc.constantFrom(0, 0x20, 0x2e, 0x2f, 0x30, 0x37, 0x80, 0xff, 0x53, 0x78, 0x67, 0x4c),
);

const damage: fc.Arbitrary<Damage> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(offset, byte).map(
      ([at, value]) =>
        (bytes: Buffer) => (bytes.writeUInt8(value, Math.min(at, bytes.length - 1)), bytes),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(offset, fc.nat({ max: 7 })).map(([at, bit]) => (bytes: Buffer) => {
      const place = Math.min(at, bytes.length - 1);
      bytes.writeUInt8(bytes.readUInt8(place) ^ (1 << bit), place);
      return bytes;
    }),
  },
  { weight: 1, arbitrary: nat.map((at) => (bytes: Buffer) => bytes.subarray(0, Math.max(1, at))) },
  {
    weight: 2,
    arbitrary: blockAt.map(
      (at) => (bytes: Buffer) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + BLOCK), Buffer.alloc(1)]),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(blockAt, blockAt).map(
      ([from, to]) =>
        (bytes: Buffer) =>
          Buffer.concat([bytes.subarray(0, to), bytes.subarray(from, from + BLOCK), bytes.subarray(to)]),
    ),
  },
);

const damaged = fc.tuple(fc.array(damage, { minLength: 1, maxLength: 4 }), fc.boolean()).map(([damages, isMended]) => {
  const bytes = damages.reduce((all: Buffer, change) => change(Buffer.from(all)), ARCHIVE);
  if (isMended) mend(bytes);
  return bytes;
});

/** An error of ours or the system's says what is wrong; JavaScript's own would be a slip of the program. */
function expectClear(error: unknown): void {
  expect(error).toBeInstanceOf(Error);
  let cause: unknown = error;
  while (cause instanceof Error) {
    expect(cause.name).not.toMatch(/TypeError|RangeError|ReferenceError|SyntaxError/);
    cause = cause.cause;
  }
  expect((error as Error).message).not.toMatch(/undefined|NaN|\[object/);
}

/** What a reader makes of an archive: its entries, and the error at its end. */
async function read(archive: Buffer, piece: number): Promise<unknown[]> {
  const found: unknown[] = [];
  try {
    const ended = await readTar(inPieces(archive, piece), DEFAULT_LIMITS, async ({ data, pax, ...entry }) => {
      let [length, sum] = [0, 0];
      // A hole of exabytes is none to read whole; `unpackLayer` refuses it by its size.
      if (entry.size < 2 ** 20)
        for await (const chunk of data)
          [length, sum] = [length + chunk.length, chunk.reduce((all, value) => (all + value) % 65_521, sum)];
      found.push({ ...entry, pax: [...(pax ?? [])], length, sum });
    });
    found.push(ended);
  } catch (error) {
    expectClear(error);
    found.push((error as Error).message);
  }
  return found;
}

describe('readTar on a damaged archive', () => {
  test('ends with entries or one clear error, the same however the bytes are cut', async () => {
    await fc.assert(
      fc.asyncProperty(damaged, fc.constantFrom(61, 511, 513, 4096), async (archive, piece) => {
        const [cut, whole] = [await read(archive, piece), await read(archive, archive.length)];
        // How far a reader comes before it sees what is wrong, and which of two faults it sees first, depends on the pieces.
        if (typeof cut.at(-1) === 'string') expect(whole.at(-1)).toBeTypeOf('string');
        else expect(cut).toEqual(whole);
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });
});

describe.skipIf(isRoot())(titled('unpackLayer on a damaged archive', isRoot()), () => {
  test('ends with a tree or one clear error, and changes nothing outside', async () => {
    await fc.assert(
      fc.asyncProperty(damaged, async (archive) => {
        const target = new Target();
        // Names that damage makes climb are the likelier the nearer the canary is.
        // Holes of gigabytes are for another test: this one reads all that comes out.
        await target.unpack(archive, [], { layerBytes: 2 ** 24 }).catch(expectClear);
        expect(target.outside()).toEqual(target.untouched);
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });
});

describe.skipIf(isRoot())(titled('loadArchive on damaged bytes', isRoot()), () => {
  const image = { layers: [tar({ name: 'f', data: 'content' }), ARCHIVE], names: ['x'] };
  const archives = [
    dockerArchive(image),
    gzipSync(dockerArchive(image)),
    ociArchive(image),
    gzipSync(ociArchive(image)),
  ];

  test('takes the image as it was, or nothing', async () => {
    const change = fc.tuple(fc.double({ min: 0, max: 0.999999, noNaN: true }), byte);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...archives),
        fc.array(change, { minLength: 1, maxLength: 3 }),
        async (archive, changes) => {
          const bytes = Buffer.from(archive);
          for (const [at, value] of changes) bytes.writeUInt8(value, Math.floor(at * bytes.length));
          const store = newStore();
          const loaded = await load(store, bytes).catch((error: unknown) => {
            expectClear(error);
            return [];
          });
          expect(store.list()).toHaveLength(loaded.length);
          for (const found of store.list()) {
            // Digests vouch for all but the names.
            expect(found.layers).toHaveLength(2);
            expect(store.sizeOf(found)).toBeGreaterThan(0);
          }
        },
      ),
      { numRuns: Math.ceil(RUNS / 4), seed: SEED },
    );
  });
});

describe('parseManifest, parseIndex and parseConfiguration on any JSON', () => {
  const digest = `sha256:${'1'.repeat(64)}`;
  const descriptor = {
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    digest,
    size: 1,
    annotations: { a: 'b' },
    platform: { os: 'linux', architecture: 'amd64' },
  };
  const manifest = { schemaVersion: 2, config: descriptor, layers: [descriptor], annotations: {} };
  const index = { schemaVersion: 2, manifests: [descriptor] };
  const config = {
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: [digest] },
    history: [{ created_by: 'x' }],
    config: { Env: ['A=1'], Cmd: [], Labels: { a: 'b' }, Volumes: { '/x': {} }, User: '0' },
  };

  /** The document with another value in one place. */
  function replaced(value: unknown, path: readonly number[], by: unknown): unknown {
    const [at, ...rest] = path;
    if (at === undefined || typeof value !== 'object' || value === null) return by;
    const entries = Object.entries(value);
    if (entries.length === 0) return by;
    const chosen = at % entries.length;
    const changed = entries.map(
      ([key, member], place) => [key, place === chosen ? replaced(member, rest, by) : (member as unknown)] as const,
    );
    return Array.isArray(value) ? changed.map(([, member]) => member) : Object.fromEntries(changed);
  }

  test('answer or say what is wrong', () => {
    const path = fc.array(fc.nat({ max: 20 }), { maxLength: 5 });
    const cases = [
      [parseManifest, manifest],
      [parseIndex, index],
      [parseConfiguration, config],
    ] as const;
    fc.assert(
      fc.property(fc.constantFrom(...cases), path, fc.jsonValue(), ([parse, document], at, value) => {
        try {
          parse(Buffer.from(JSON.stringify(replaced(document, at, value))), 'it');
        } catch (error) {
          expectClear(error);
          expect((error as Error).message).toMatch(/^it/);
        }
      }),
      { numRuns: RUNS * 10, seed: SEED },
    );
  });
});
