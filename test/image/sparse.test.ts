import { closeSync, ftruncateSync, lstatSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { DEFAULT_LIMITS } from '../../runner/image/limits.ts';
import { firstMissing, has, isRoot, titled } from '../support/requirements.ts';
import { type ArchiveEntry, attached, dockerArchive, tar } from './archives.ts';
import { load, newStore, run, snapshot, Target, temporary } from './ground.ts';

const KIB = 1024;

/** A file of `size` bytes with 4 KiB of data at each of the offsets. */
function makeSparse(path: string, size: number, offsets: readonly number[]): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, size);
  for (const offset of offsets) writeSync(fd, Buffer.alloc(4 * KIB, `at ${offset}`), 0, 4 * KIB, offset);
  closeSync(fd);
}

const noTar = firstMissing(isRoot(), has('tar'));

describe.skipIf(noTar)(titled('unpackLayer on sparse files of GNU tar', noTar), () => {
  const formats: readonly (readonly [string, ...string[]])[] = [
    ['old GNU', '--format=gnu'],
    ['PAX 0.0', '--format=pax', '--sparse-version=0.0'],
    ['PAX 0.1', '--format=pax', '--sparse-version=0.1'],
    ['PAX 1.0', '--format=pax', '--sparse-version=1.0'],
  ];

  test.each(formats)('%s: content, size, times and holes are those of the file', async (_, ...options) => {
    const base = temporary();
    const source = join(base, 'source');
    mkdirSync(join(source, 'd'.repeat(120)), { recursive: true });
    makeSparse(join(source, 'few'), 3_000_001, [0, 1_000_000]);
    // More regions than fit into a header, and into one block after it.
    makeSparse(
      join(source, 'd'.repeat(120), 'many'),
      60 * 64 * KIB,
      Array.from({ length: 60 }, (_none, at) => at * 64 * KIB),
    );
    makeSparse(join(source, 'none'), 5_000_000, []);
    makeSparse(join(source, 'end'), 100_000, [100_000 - 4 * KIB]);
    run('tar', '-C', source, '--sparse', ...options, '-cf', join(base, 'archive.tar'), '.');
    const archive = readFileSync(join(base, 'archive.tar'));
    expect(archive.length).toBeLessThan(500_000);
    const withTimes = !options.includes('--format=gnu');
    for (const piece of [1, 511, 4096, archive.length]) {
      const target = new Target();
      await target.unpack(archive, [], {}, piece);
      expect(snapshot(target.path, withTimes)).toEqual(snapshot(source, withTimes));
      for (const name of ['few', 'none', 'end']) {
        const blocks = (root: string): number => lstatSync(join(root, name)).blocks;
        expect(blocks(target.path)).toBeLessThanOrEqual(blocks(source) + 8);
      }
      if (piece === 1) break;
    }
  });
});

describe.skipIf(isRoot())(titled('unpackLayer on runs of zeros', isRoot()), () => {
  test('leaves holes, wherever the pieces of the archive are cut', async () => {
    const data = Buffer.alloc(700_000);
    data.write('begin', 0);
    data.write('middle', 300_000);
    const full = Buffer.alloc(200_000, 'x');
    const archive = tar(
      { name: 'zeros', data },
      { name: 'ends', data: Buffer.concat([data, Buffer.from('!')]) },
      { name: 'full', data: full },
    );
    for (const piece of [1000, 65_536, 100_000]) {
      const target = new Target();
      await target.unpack(archive, [], {}, piece);
      expect(readFileSync(join(target.path, 'zeros')).equals(data)).toBe(true);
      expect(readFileSync(join(target.path, 'full')).equals(full)).toBe(true);
      expect(lstatSync(join(target.path, 'ends')).size).toBe(700_001);
      // In pieces shorter than a hole is to be, none is found.
      if (piece >= 65_536) expect(lstatSync(join(target.path, 'zeros')).blocks * 512).toBeLessThan(400_000);
    }
  });
});

// What these claim, a reader that believes them writes beyond the file's end, over what it has written, or for ever.
describe.skipIf(isRoot())(titled('unpackLayer refuses a sparse file', isRoot()), () => {
  const octal = (value: number): string => value.toString(8).padStart(11, '0') + '\0';
  const base256 = (byte: number): string => String.fromCharCode(byte).repeat(12);
  /** An old GNU header: regions as they stand in it, and the size. */
  const old = (size: string, regions: string, data = '', isExtended = false): ArchiveEntry => ({
    name: 's',
    type: 'S',
    data,
    spoil: (header) => {
      header.write('ustar  \0', 257, 'latin1');
      header.fill(0, 345, 512);
      header.write(regions, 386, 'latin1');
      header.writeUInt8(isExtended ? 1 : 0, 482);
      header.write(size, 483, 'latin1');
    },
  });
  const region = (offset: number, length: number): string => octal(offset) + octal(length);
  const pax = (records: Readonly<Record<string, string>>, data = ''): ArchiveEntry => ({
    name: 's',
    data,
    pax: records,
  });
  const one = (map: string): ArchiveEntry =>
    pax(
      { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '10' },
      `${map}${'\0'.repeat(512 - map.length)}xyz`,
    );
  const extension = Buffer.alloc(512);
  extension.write(region(4, 1), 0, 'latin1');
  extension.writeUInt8(1, 504);

  const cases: readonly (readonly [string, readonly (ArchiveEntry | Buffer)[], RegExp])[] = [
    ['that overlaps', [old(octal(10), region(0, 2) + region(1, 1), 'abc')], /overlap/],
    ['that goes backwards', [old(octal(10), region(5, 1) + region(0, 2), 'abc')], /overlap or are out of order/],
    ['that goes beyond its end', [old(octal(10), region(8, 3), 'abc')], /beyond the end/],
    ['with a negative offset', [old(octal(10), base256(0xff) + octal(3), 'abc')], /cannot be used/],
    ['with a negative length', [old(octal(10), octal(3) + base256(0xff), 'abc')], /cannot be used/],
    ['with a negative size', [old(base256(0xff), region(0, 3), 'abc')], /size in it cannot be used/],
    ['with a huge offset', [old(octal(10), `\x80${'\x7f'.repeat(11)}${octal(3)}`, 'abc')], /cannot be used/],
    ['of more data than regions', [old(octal(10), region(0, 2), 'abc')], /have 2 bytes, where the archive has 3/],
    ['of more regions than data', [old(octal(10), region(0, 4), 'abc')], /have 4 bytes, where the archive has 3/],
    [
      'whose map is longer than its data',
      [old(octal(9), region(0, 0), '', true), extension],
      /have 1 bytes, where the archive has 0/,
    ],
    ['in PAX that overlaps', [pax({ 'GNU.sparse.size': '10', 'GNU.sparse.map': '0,2,1,1' }, 'abc')], /overlap/],
    ['in PAX with half a region', [pax({ 'GNU.sparse.size': '10', 'GNU.sparse.map': '0,2,1' }, 'abc')], /no length/],
    [
      'in PAX with a number that is none',
      [pax({ 'GNU.sparse.size': '10', 'GNU.sparse.map': '0,-2' }, 'abc')],
      /not a number/,
    ],
    ['in PAX without a size', [pax({ 'GNU.sparse.map': '0,3' }, 'abc')], /GNU.sparse.size is not a number/],
    [
      'in PAX with another count',
      [pax({ 'GNU.sparse.size': '3', 'GNU.sparse.numblocks': '2', 'GNU.sparse.map': '0,3' }, 'abc')],
      /another number of regions/,
    ],
    [
      'in PAX with two maps',
      [
        attached(
          'x',
          '21 GNU.sparse.size=3\n24 GNU.sparse.offset=0\n26 GNU.sparse.numbytes=3\n24 GNU.sparse.map=0,3\n'.replace(
            '24 GNU.sparse.offset',
            '23 GNU.sparse.offset',
          ),
        ),
        { name: 's', data: 'abc' },
      ],
      /two of them|malformed/,
    ],
    [
      'in PAX of a format to come',
      [pax({ 'GNU.sparse.major': '2', 'GNU.sparse.realsize': '3' }, 'abc')],
      /its format is "2.0"/,
    ],
    [
      'in PAX that is a directory',
      [{ ...pax({ 'GNU.sparse.size': '0', 'GNU.sparse.map': '' }), type: '5' }],
      /sparse, and no file/,
    ],
    [
      'in both forms',
      [{ ...old(octal(3), region(0, 3), 'abc'), pax: { 'GNU.sparse.size': '3', 'GNU.sparse.map': '0,3' } }],
      /two maps/,
    ],
    ['of 1.0 whose map is no number', [one('x\n0\n3\n')], /not a number/],
    ['of 1.0 that overlaps', [one('2\n0\n2\n1\n1\n')], /overlap/],
    ['of 1.0 with more data than regions', [one('1\n0\n2\n')], /have 2 bytes, where the archive has 3/],
    ['of 1.0 that claims regions without end', [one('9007199254740\n0\n2\n')], /ends within it|pax-size/],
    ['of 1.0 with a map without an end', [one('1'.repeat(512))], /ends within it|pax-size/],
    [
      'whose own name climbs',
      [pax({ 'GNU.sparse.size': '3', 'GNU.sparse.map': '0,3', 'GNU.sparse.name': '../canary' }, 'abc')],
      /climbs/,
    ],
  ];

  test.each(cases)('%s', async (_, entries, message) => {
    const target = new Target();
    await expect(target.unpack(tar(...entries))).rejects.toThrow(message);
    expect(target.outside()).toEqual(target.untouched);
  });

  test('over the limit of a layer by its holes alone', async () => {
    const huge = old(`\x80\0\0\0\0\0\x10\0\0\0\0\0`, '');
    await expect(new Target().unpack(tar(huge))).rejects.toThrow(/size of the layer is over the limit/);
    const map = tar(old(octal(99), region(0, 0), '', true), ...Array.from({ length: 9 }, () => extension));
    await expect(new Target().unpack(map, [], { paxBytes: 2048 })).rejects.toThrow(
      /map of a sparse file of 2560 bytes is over/,
    );
  });

  test('as a file of an image archive, where its holes would be written out', async () => {
    const zeros = old(octal(8 ** 10), '');
    const limits = { ...DEFAULT_LIMITS, archiveBytes: 2 ** 40 };
    await expect(load(newStore(), tar({ ...zeros, name: 'manifest.json' }), { limits })).rejects.toThrow(
      /it is a sparse file/,
    );
    await expect(
      load(newStore(), dockerArchive({ layers: [tar(zeros)] }), { limits: { ...limits, layerBytes: 1000 } }),
    ).rejects.toThrow(/limit of 1000/);
  });
});
