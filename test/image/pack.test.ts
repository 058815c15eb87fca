import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';

import { setxattrText } from '../../fs/sys/xattr.ts';
import { DEFAULT_LIMITS } from '../../runner/image/limits.ts';
import { packTree, type PackOptions } from '../../runner/image/pack.ts';
import { xattrsOf } from '../../runner/image/entry-metadata.ts';
import { readTar } from '../../runner/image/tar.ts';
import { archiveEnd, encodeHeader, padding, type TarHeader, type WrittenType } from '../../runner/image/tar-writer.ts';
import { Warnings } from '../../runner/image/warnings.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { tar } from './archives.ts';
import { inPieces, run, snapshot, Target, temporary } from './ground.ts';

const NO_OPTIONS: Omit<PackOptions, 'warnings'> = {};

async function pack(path: string, options = NO_OPTIONS, warnings = new Warnings()): Promise<Buffer> {
  const root = openSync(path, 'r');
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of packTree(root, { ...options, warnings })) chunks.push(chunk);
  } finally {
    closeSync(root);
  }
  return Buffer.concat(chunks);
}

const CAPABILITY = '\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00';
// Version 2; user::rw-, user 1000:r--, group::r--, mask::r--, other::---.
const ACL = Buffer.from(
  '0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000000ffffffff',
  'hex',
);

const TREE = tar(
  { name: './', type: '5', mode: 0o751, pax: { mtime: '5.000000009' } },
  { name: 'setuid', mode: 0o4755, uid: 12, gid: 34, data: 'run', pax: { mtime: '1.000000007' } },
  { name: 'large-ids', data: '', pax: { uid: '4000000000', gid: '2097152' } },
  { name: 'capable', mode: 0o755, uid: 1, pax: { 'SCHILY.xattr.security.capability': CAPABILITY } },
  { name: 'acl', mode: 0o640, pax: { 'SCHILY.xattr.system.posix_acl_access': ACL.toString('latin1') } },
  { name: 'noted', pax: { 'SCHILY.xattr.user.note': 'a=b\n\0c', 'SCHILY.xattr.trusted.mine': 'x' } },
  { name: 'old', pax: { mtime: '-1.25' } },
  { name: 'far', pax: { mtime: '9000000000.5' } },
  { name: 'link', type: '2', linkname: '/etc/passwd', uid: 5, gid: 6, pax: { mtime: '-1.5' } },
  { name: 'long-link', type: '2', linkname: `${'x'.repeat(150)}/caf\xe9` },
  { name: 'sticky/', type: '5', mode: 0o1777, mtime: 9 },
  { name: 'sticky/inside', data: 'y'.repeat(1024) },
  { name: 'sticky/second', type: '1', linkname: 'setuid' },
  { name: 'unreadable/', type: '5', mode: 0 },
  { name: 'unreadable/x', mode: 0, data: 'z' },
  { name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 },
  { name: 'loop', type: '4', major: 7, minor: 300 },
  { name: 'fifo', type: '6', mode: 0o620 },
  { name: 'another-fifo-name', type: '1', linkname: 'fifo' },
  { name: 'caf\xe9\xff', data: '1' },
  { name: `${'d'.repeat(255)}/${'e'.repeat(255)}/\xc3\xa9`, data: '2' },
);

describe.skipIf(isRoot())(titled('packTree', isRoot()), () => {
  test('gives an archive that unpacks to the same tree, to the nanosecond and the last xattr', async () => {
    const [source, copy] = [new Target(), new Target()];
    await source.unpack(TREE);
    await copy.unpack(await pack(source.path));
    expect(snapshot(copy.path)).toEqual(snapshot(source.path));
    expect(copy.outside()).toEqual(copy.untouched);
  });

  test('gives an archive that GNU tar unpacks to the same tree', async () => {
    const source = new Target();
    await source.unpack(TREE);
    const archive = join(temporary(), 'archive.tar');
    writeFileSync(archive, await pack(source.path));
    const copy = temporary();
    run('tar', '--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', archive, '-C', copy);
    expect(snapshot(copy)).toEqual(snapshot(source.path));
  });

  test('gives the same bytes for the same tree, in whatever order it was made', async () => {
    const [one, other] = [temporary(), temporary()];
    const names = ['b', 'a', 'a.b', 'B', '\xc3\xa9', 'a-b'].map((name) => Buffer.from(name, 'latin1').toString());
    for (const name of names) writeFileSync(join(one, name), name);
    for (const name of names.toReversed()) writeFileSync(join(other, name), name);
    for (const path of [one, other]) {
      mkdirSync(join(path, 'a+'));
      writeFileSync(join(path, 'a+/x'), '');
      execFileSync('find', [path, '-exec', 'touch', '-h', '-d', '@1000.25', '{}', '+']);
    }
    expect((await pack(one)).equals(await pack(other))).toBe(true);
  });

  test('orders entries by the bytes of their names, directories before what is in them', async () => {
    const root = temporary();
    for (const name of ['b', 'B', 'a.b', 'a-b', '\u00e9', '~']) writeFileSync(join(root, name), '');
    mkdirSync(join(root, 'a/z'), { recursive: true });
    const names: string[] = [];
    await readTar(inPieces(await pack(root)), DEFAULT_LIMITS, ({ name }) => void names.push(name));
    expect(names).toEqual(['./', 'B', 'a/', 'a/z/', 'a-b', 'a.b', 'b', '~', '\xc3\xa9']);
  });

  test('follows no symlink, and reads nothing outside of the tree', async () => {
    const [root, outside] = [temporary(), temporary()];
    writeFileSync(join(outside, 'secret'), 'SECRET');
    symlinkSync(outside, join(root, 'directory'));
    symlinkSync(join(outside, 'secret'), join(root, 'file'));
    expect((await pack(root)).includes('SECRET')).toBe(false);
  });

  test("leaves out overlayfs's own xattrs, fuse-overlayfs's, and the host's labels", async () => {
    const root = temporary();
    const own = [
      'trusted.overlay.opaque',
      'user.overlay.whiteout',
      'user.fuseoverlayfs.origin',
      'user.containers.override_stat',
    ];
    writeFileSync(join(root, 'file'), '');
    const fd = openSync(join(root, 'file'), 'r');
    for (const name of [...own, 'user.kept', 'trusted.kept']) expect(setxattrText(fd, '', name, 'v')).toBe(0);
    closeSync(fd);
    const found: string[] = [];
    await readTar(
      inPieces(await pack(root)),
      DEFAULT_LIMITS,
      ({ pax }) => void found.push(...xattrsOf(pax, new Warnings()).keys()),
    );
    expect(found.sort()).toEqual(['trusted.kept', 'user.kept']);
  });

  test('leaves sockets out and says so', async () => {
    const root = temporary();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(root, 'socket'), resolve));
    onTestFinished(() => void server.close());
    const warnings = new Warnings();
    const target = new Target();
    await target.unpack(await pack(root, {}, warnings));
    expect(readdirSync(target.path)).toEqual([]);
    expect(warnings.lines()).toEqual(['socket is left out: socket']);
  });

  test('refuses a name that would be a whiteout in a layer, and takes it in a root filesystem', async () => {
    const root = temporary();
    writeFileSync(join(root, '.wh.x'), 'content');
    await expect(pack(root)).rejects.toThrow(/"\/\.wh\.x" cannot be in an image's layer.*rename or remove it/);
    expect((await pack(root, { dotNames: true })).includes('content')).toBe(true);
  });

  test('sets later times to the latest that is allowed', async () => {
    const [source, copy] = [new Target(), new Target()];
    await source.unpack(TREE);
    await copy.unpack(await pack(source.path, { latest: 8 }));
    const times = snapshot(copy.path).map((line) => BigInt(/ \d+:\d+ (-?\d+)/.exec(line)?.[1] ?? 'none'));
    expect(times).toContain(8_000_000_000n);
    expect(times).toContain(1_000_000_007n);
    expect(times.every((time) => time <= 8_000_000_000n)).toBe(true);
  });

  test('reads no holes, and has them as zeros', async () => {
    const root = temporary();
    const fd = openSync(join(root, 'sparse'), 'w');
    ftruncateSync(fd, 40 * 2 ** 20 + 5);
    writeSync(fd, 'middle', 20 * 2 ** 20 + 3);
    closeSync(fd);
    writeFileSync(join(root, 'empty-end'), 'begin');
    truncateSync(join(root, 'empty-end'), 3 * 2 ** 20);
    linkSync(join(root, 'sparse'), join(root, 'zz'));
    const target = new Target();
    await target.unpack(await pack(root));
    expect(snapshot(target.path)).toEqual(snapshot(root));
  });

  test('says which file is too deep to be unpacked by anybody', async () => {
    const root = temporary();
    const name = 'x'.repeat(200);
    const make = `import os\nfor _ in range(21): os.mkdir("${name}"); os.chdir("${name}")`;
    execFileSync('python3', ['-c', make], { cwd: root });
    await expect(pack(root)).rejects.toThrow(/over 4095 bytes/);
  });
});

const TYPES: readonly WrittenType[] = [
  'file',
  'directory',
  'link',
  'symlink',
  'character-device',
  'block-device',
  'fifo',
];
const bytes = (maxLength: number): fc.Arbitrary<string> =>
  fc
    .array(
      fc.integer({ min: 1, max: 255 }).filter((byte) => byte !== 0x2f),
      { minLength: 1, maxLength },
    )
    .map((list) => String.fromCharCode(...list));

const headers: fc.Arbitrary<TarHeader> = fc
  .record({
    type: fc.constantFrom(...TYPES),
    path: fc.array(bytes(120), { minLength: 1, maxLength: 3 }),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.oneof(fc.integer({ min: 0, max: 0xfffffffe }), fc.constantFrom(0o7777777, 0o10000000)),
    gid: fc.integer({ min: 0, max: 0xfffffffe }),
    size: fc.integer({ min: 0, max: 1500 }),
    seconds: fc.oneof(
      fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
      fc.constantFrom(-1, 0, 0o77777777777, 0o100000000000),
    ),
    nanoseconds: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999_999 })),
    target: bytes(200),
    major: fc.integer({ min: 1, max: 0xfff }),
    minor: fc.integer({ min: 0, max: 0xfffff }),
    xattrs: fc.dictionary(fc.stringMatching(/^user\.[a-z]{1,20}$/), bytes(300)),
  })
  .map(({ type, path, seconds, nanoseconds, target, major, minor, xattrs, size, ...rest }) => ({
    ...rest,
    type,
    name: path.join('/') + (type === 'directory' ? '/' : ''),
    size: type === 'file' ? size : 0,
    mtime: { seconds, nanoseconds },
    linkname: type === 'link' || type === 'symlink' ? target : '',
    major: type.endsWith('device') ? major : 0,
    minor: type.endsWith('device') ? minor : 0,
    xattrs: new Map(Object.entries(xattrs)),
  }));

describe('encodeHeader', () => {
  test('writes what readTar reads as the same entry, whatever is in it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(headers, { maxLength: 5 }), async (written) => {
        const parts = written.map((header) => [
          encodeHeader(header),
          Buffer.alloc(header.size, 1),
          padding(header.size),
        ]);
        const read: TarHeader[] = [];
        const archive = Buffer.concat([...parts.flat(), archiveEnd()]);
        const ended = await readTar(
          inPieces(archive, 700),
          DEFAULT_LIMITS,
          ({ name, type, mode, uid, gid, size, mtime, linkname, major, minor, pax }) => {
            read.push({
              name,
              type,
              mode,
              uid,
              gid,
              size,
              mtime,
              linkname,
              major,
              minor,
              xattrs: xattrsOf(pax, new Warnings()),
            });
          },
        );
        expect(ended).toBe(true);
        expect(read).toEqual(written);
      }),
      { numRuns: 300 },
    );
  });

  test('writes the size of a file over 8 GiB where every reader looks for it', () => {
    const size = 9 * 2 ** 30;
    const block = encodeHeader({
      name: 'big',
      type: 'file',
      mode: 0o644,
      uid: 0,
      gid: 0,
      size,
      mtime: { seconds: 0, nanoseconds: 0 },
      linkname: '',
      major: 0,
      minor: 0,
      xattrs: new Map(),
    });
    expect(block.includes(`size=${size}\n`)).toBe(true);
    const path = join(temporary(), 'big.tar');
    writeFileSync(path, block);
    truncateSync(path, block.length + size + 1024);
    expect(run('tar', '-tvf', path)).toMatch(new RegExp(` ${size} .* big\n$`));
    expect(
      run('python3', '-c', `import tarfile; print(tarfile.open(${JSON.stringify(path)}).getmember("big").size)`),
    ).toBe(`${size}\n`);
  });
});
