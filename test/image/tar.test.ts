import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { DEFAULT_LIMITS } from '../../runner/image/limits.ts';
import { parsePax, parsePaxTime } from '../../runner/image/pax.ts';
import { readTar, type TarEntry } from '../../runner/image/tar.ts';
import { type ArchiveEntry, attached, END, entryBytes, tar } from './archives.ts';
import { inPieces } from './ground.ts';

interface Read extends Omit<TarEntry, 'data'> {
  readonly content: string;
}

async function read(archive: Buffer, piece = 700, limits = DEFAULT_LIMITS): Promise<Read[]> {
  const entries: Read[] = [];
  await readTar(inPieces(archive, piece), limits, async ({ data, ...entry }) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of data) chunks.push(chunk);
    entries.push({ ...entry, content: Buffer.concat(chunks).toString('latin1') });
  });
  return entries;
}

async function names(archive: Buffer): Promise<string[]> {
  return (await read(archive)).map(({ name }) => name);
}

describe('readTar names', () => {
  test('keeps the bytes of a name that is not UTF-8, from header, PAX record and GNU long name alike', async () => {
    const long = `${'d'.repeat(90)}/caf\xe9${'e'.repeat(90)}`;
    const archive = tar(
      { name: 'caf\xe9' },
      { name: 'short', pax: { path: 'pax\xe9\xff' } },
      attached('L', `${long}\0`),
      { name: long },
      { name: 'utf8\xc3\xa9', pax: { path: 'utf8\xc3\xa9' } },
    );
    // The archive maker adds a PAX path to a long name; here the GNU header is to be the only one.
    const gnu = tar(attached('L', `${long}\0`), { name: 'cut', data: 'x' });
    expect(await names(archive)).toEqual(['caf\xe9', 'pax\xe9\xff', long, 'utf8\xc3\xa9']);
    expect(await names(gnu)).toEqual([long]);
  });

  test('joins a ustar prefix and reads a GNU long link', async () => {
    const archive = tar(
      { name: 'name', spoil: (header) => header.write('prefix', 345) },
      attached('K', 'target\xe9\0'),
      { name: 'link', type: '2', linkname: 'cut' },
    );
    expect((await read(archive)).map(({ name, linkname }) => [name, linkname])).toEqual([
      ['prefix/name', ''],
      ['link', 'target\xe9'],
    ]);
  });

  test('takes a file whose name ends in a slash for a directory, as archives before POSIX have it', async () => {
    expect((await read(tar({ name: 'old/' })))[0]?.type).toBe('directory');
  });
});

describe('readTar data', () => {
  test('is at its end at once for a directory that has a size', async () => {
    const sized = { name: 'd/', type: '5', spoil: (header: Buffer) => void header.write('00000000007', 124) };
    expect(await names(tar(sized, { name: 'f', data: 'x' }))).toEqual(['d/', 'f']);
  });
});

describe('readTar values', () => {
  test('reads PAX size, owner and nanosecond times, before 1970 too', async () => {
    const [entry] = await read(tar({ name: 'f', data: 'abc', pax: { uid: '3000000', gid: '7', mtime: '-1.25' } }));
    expect(entry).toMatchObject({ uid: 3_000_000, gid: 7, mtime: { seconds: -2, nanoseconds: 750_000_000 } });
  });

  test('reads base-256 numbers', async () => {
    const archive = tar({
      name: 'f',
      data: 'abc',
      spoil: (header) => {
        header.fill(0, 124, 136).writeUInt8(0x80, 124);
        header.writeUInt8(3, 135);
      },
    });
    expect((await read(archive))[0]).toMatchObject({ size: 3, content: 'abc' });
  });

  test('reads times before 1970 and after 2106 in base 256', async () => {
    const timed = (bytes: readonly number[]): ArchiveEntry => ({
      name: 'f',
      spoil: (header) => {
        header.set(bytes, 136);
      },
    });
    const before = [...Array<number>(11).fill(0xff), 0xff];
    const after = [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 7];
    const entries = await read(tar(timed(before), timed(after)));
    expect(entries.map(({ mtime }) => mtime.seconds)).toEqual([-1, 2 ** 33 + 7]);
  });

  test('keeps binary PAX values whole', async () => {
    const value = Buffer.from([1, 0, 0, 2, 0xff, 0x0a, 0x3d, 0x80]).toString('latin1');
    const [entry] = await read(tar({ name: 'f', pax: { 'SCHILY.xattr.security.capability': value } }));
    expect(entry?.pax?.get('SCHILY.xattr.security.capability')).toBe(value);
  });

  test('gives the same entries however the bytes are cut', async () => {
    const archive = tar(
      { name: 'a', data: 'x'.repeat(1500) },
      { name: 'd/', type: '5' },
      { name: 'b', data: 'y'.repeat(512), pax: { mtime: '5.5' } },
      { name: 'c', type: '2', linkname: 'a' },
    );
    const whole = await read(archive, archive.length);
    for (const piece of [1, 511, 512, 513, 4096]) expect(await read(archive, piece)).toEqual(whole);
  });
});

describe('readTar refuses', () => {
  const sized =
    (text: string) =>
    (header: Buffer): void =>
      void header.fill(0, 124, 136).write(text, 124, 'latin1');
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    ['what is no archive', Buffer.alloc(2048, 'x'), /no tar archive/],
    ['a wrong checksum', tar({ name: 'ok' }, damaged({ name: 'f' })), /checksum is wrong/],
    ['a negative size', tar({ name: 'f', spoil: sized('\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe') }), /size/],
    ['a size over 2^53', tar({ name: 'f', spoil: sized('\x80\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff') }), /size/],
    ['a size with other characters', tar({ name: 'f', spoil: sized('12x') }), /size/],
    ['a PAX size that is no number', tar({ name: 'f', pax: { size: '1e3' } }), /PAX record size/],
    ['a PAX record with a wrong length', tar(attached('x', '8 path=a\n'), { name: 'f' }), /PAX header is malformed/],
    ['a PAX record without an end', tar(attached('x', '10 path=abc'), { name: 'f' }), /PAX header is malformed/],
    ['an empty PAX header', tar({ name: 'before' }, attached('x', ''), { name: 'f', data: 'x' }), /is empty/],
    ['a global PAX path', tar(attached('g', '12 path=abc\n'), { name: 'f' }), /PAX global header/],
    ['a symlink with data', tar({ name: 'l', type: '2', linkname: 'x', data: 'hidden' }), /size is ambiguous/],
    [
      'a PAX name and another GNU one',
      tar(attached('L', 'other\0'), { name: 'f', pax: { path: 'one' } }),
      /would disagree/,
    ],
    ['two GNU long names', tar(attached('L', 'one\0'), attached('L', 'two\0'), { name: 'f' }), /two long names/],
    ['an unknown type', tar({ name: 's', type: 'Z' }), /type "Z"/],
    ['a uid that means "leave it"', tar({ name: 'f', pax: { uid: '4294967295' } }), /uid is out of range/],
    ['a time that is none', tar({ name: 'f', pax: { mtime: 'now' } }), /mtime is not a time/],
    [
      'an archive cut within an entry',
      entryBytes({ name: 'f', data: 'x'.repeat(2000) }).subarray(0, 1024),
      /truncated/,
    ],
    ['an archive cut within a header', tar({ name: 'f' }).subarray(0, 300), /truncated/],
  ];
  test.each(cases)('%s', async (_, archive, message) => {
    await expect(read(archive)).rejects.toThrow(message);
  });

  test('PAX headers over the limit, one or many', async () => {
    const limits = { ...DEFAULT_LIMITS, paxBytes: 4096 };
    const big = tar({ name: 'f', pax: { comment: 'x'.repeat(5000) } });
    const many = tar(...Array.from({ length: 40 }, () => attached('x', `1008 c=${'x'.repeat(1000)}\n`)), { name: 'f' });
    await expect(read(big, 700, limits)).rejects.toThrow(/PAX header or long name of .* over the limit/);
    await expect(read(many, 700, limits)).rejects.toThrow(/PAX header or long name of .* over the limit/);
  });

  test('more entries than the limit', async () => {
    const archive = tar(...Array.from({ length: 11 }, (_, at) => ({ name: `f${at}` })));
    await expect(read(archive, 700, { ...DEFAULT_LIMITS, entries: 10 })).rejects.toThrow(
      /entries .* over the limit of 10/,
    );
  });
});

function damaged(entry: ArchiveEntry): Buffer {
  const bytes = entryBytes(entry);
  bytes.writeUInt8(0x41, 20);
  return bytes;
}

describe('readTar end', () => {
  test('reads nothing after the end marker', async () => {
    const archive = Buffer.concat([tar({ name: 'seen' }), tar({ name: 'hidden' })]);
    expect(await names(archive)).toEqual(['seen']);
  });

  test('goes on after one block of zeros', async () => {
    const archive = tar({ name: 'one' }, Buffer.alloc(512), { name: 'two' });
    expect(await names(archive)).toEqual(['one', 'two']);
  });

  test('tells whether there was an end marker', async () => {
    const bytes = entryBytes({ name: 'f', data: 'x' });
    const visit = (): void => undefined;
    expect(await readTar(inPieces(Buffer.concat([bytes, END])), DEFAULT_LIMITS, visit)).toBe(true);
    expect(await readTar(inPieces(bytes), DEFAULT_LIMITS, visit)).toBe(false);
  });

  test('passes on what the visitor throws and reads no further', async () => {
    const archive = tar({ name: 'a', data: 'x'.repeat(5000) }, { name: 'b' });
    const seen: string[] = [];
    const reading = readTar(inPieces(archive), DEFAULT_LIMITS, ({ name }) => {
      seen.push(name);
      throw new Error('enough');
    });
    await expect(reading).rejects.toThrow('enough');
    expect(seen).toEqual(['a']);
  });

  test('passes on what the source throws', async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield tar({ name: 'a', data: 'x'.repeat(5000) }).subarray(0, 1000);
      throw await Promise.resolve(new Error('disk gone'));
    }
    const reading = readTar(failing(), DEFAULT_LIMITS, async ({ data }) => {
      let left = 0;
      for await (const chunk of data) left += chunk.length;
      expect(left).toBe(0);
    });
    await expect(reading).rejects.toThrow('disk gone');
  });
});

describe('parsePax', () => {
  test('reads back any keys and values', () => {
    const key = fc.stringMatching(/^[a-zA-Z.]{1,20}$/);
    const value = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
    fc.assert(
      fc.property(fc.dictionary(key, value), (records) => {
        const body = entryBytes({ name: 'f', pax: records });
        const size = Number.parseInt(body.toString('latin1', 124, 135), 8);
        const text = Object.keys(records).length === 0 ? '' : body.toString('latin1', 512, 512 + size);
        expect(Object.fromEntries(parsePax(text))).toEqual({ ...records });
      }),
    );
  });
});

describe('parsePaxTime', () => {
  test.each([
    ['0', 0, 0],
    ['12.5', 12, 500_000_000],
    ['12.1234567899', 12, 123_456_789],
    ['-3', -3, 0],
    ['-0.5', -1, 500_000_000],
  ])('reads %s', (text, seconds, nanoseconds) => {
    expect(parsePaxTime(text, 'mtime')).toEqual({ seconds, nanoseconds });
  });
});
