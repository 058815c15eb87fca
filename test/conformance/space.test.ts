import { expect } from 'vitest';
import { LIMITS } from '../../fs/libfuse/limits.ts';
import { errnoOf } from '../support/agent.ts';
import { type System } from '../support/system.ts';
import { type Row, conformance, dropCaches } from './suite.ts';

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_APPEND = 0o2000;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const COLLAPSE_RANGE = 8;
const ZERO_RANGE = 0x10;
const INSERT_RANGE = 0x20;
const UNSHARE_RANGE = 0x40;
const PAGE = 4096;
const FICLONE = 0x4004_9409;

const NOT_PASSED_ON = {
  lamina: 'the kernel’s FUSE knows hole, zero and size alone: all others are EOPNOTSUPP',
} as const;

/** Four pages, each of a letter of its own. */
const PAGES = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(PAGE)).join('');

/** What a file of `PAGES` holds afterwards, a letter a page; `.` for zeros. */
async function letters(root: System, path: string): Promise<string> {
  const content = await root.contents(path);
  let seen = '';
  for (let at = 0; at < content.length; at += PAGE) {
    const first = content.readUInt8(at);
    const page = content.subarray(at, at + PAGE);
    seen += page.every((byte) => byte === first) ? (first === 0 ? '.' : String.fromCharCode(first)) : '?';
  }
  return seen;
}

interface Mode {
  readonly name: string;
  readonly mode: number;
  readonly offset: number;
  readonly length: number;
  /** What is in the file then; see `letters`. */
  readonly seen: string;
  readonly differs?: Row['differs'];
}

const MODES: readonly Mode[] = [
  { name: 'within the file', mode: 0, offset: PAGE, length: PAGE, seen: 'abcd' },
  { name: 'beyond the end', mode: 0, offset: 4 * PAGE, length: 2 * PAGE, seen: 'abcd..' },
  { name: 'beyond the end with KEEP_SIZE', mode: KEEP_SIZE, offset: 4 * PAGE, length: PAGE, seen: 'abcd' },
  { name: 'PUNCH_HOLE', mode: PUNCH_HOLE | KEEP_SIZE, offset: PAGE, length: 2 * PAGE, seen: 'a..d' },
  { name: 'PUNCH_HOLE over the end', mode: PUNCH_HOLE | KEEP_SIZE, offset: 3 * PAGE, length: 9 * PAGE, seen: 'abc.' },
  { name: 'ZERO_RANGE', mode: ZERO_RANGE, offset: 2 * PAGE, length: PAGE, seen: 'ab.d' },
  { name: 'ZERO_RANGE over the end', mode: ZERO_RANGE, offset: 3 * PAGE, length: 2 * PAGE, seen: 'abc..' },
  {
    name: 'ZERO_RANGE over the end with KEEP_SIZE',
    mode: ZERO_RANGE | KEEP_SIZE,
    offset: 3 * PAGE,
    length: 2 * PAGE,
    seen: 'abc.',
  },
  { name: 'COLLAPSE_RANGE', mode: COLLAPSE_RANGE, offset: PAGE, length: PAGE, seen: 'acd', differs: NOT_PASSED_ON },
  { name: 'INSERT_RANGE', mode: INSERT_RANGE, offset: PAGE, length: PAGE, seen: 'a.bcd', differs: NOT_PASSED_ON },
];

function allocation({ name, mode, offset, length, seen, differs }: Mode): Row {
  return {
    name: `fallocate ${name}, of a lower file, an upper one and one with unwritten data in the page cache`,
    differs,
    lowers: [{ low: PAGES }],
    upper: { up: PAGES },
    async run({ root, at, lower }) {
      await root.put(at('dirty'), '');
      for (const file of ['low', 'up', 'dirty']) {
        const fd = await root.open(at(file), O_RDWR);
        if (file === 'dirty') await root.write(fd, PAGES);
        await root.fallocate(fd, mode, offset, length);
        expect([file, (await root.fstat(fd)).size]).toEqual([file, seen.length * PAGE]);
        await root.close(fd);
        expect([file, await letters(root, at(file))]).toEqual([file, seen]);
      }
      expect(await letters(root, lower(0, 'low'))).toBe('abcd');
    },
    async after({ root, at }) {
      for (const file of ['low', 'up', 'dirty']) expect([file, await letters(root, at(file))]).toEqual([file, seen]);
    },
  };
}

const allocations: readonly Row[] = [
  ...MODES.map(allocation),
  {
    name: 'fallocate of another mode than FUSE passes on is EOPNOTSUPP, and changes nothing',
    differs: { kernel: 'overlayfs passes every mode on to the upper' },
    lowers: [{ a: PAGES }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      for (const mode of [COLLAPSE_RANGE, INSERT_RANGE, UNSHARE_RANGE])
        expect(await errnoOf(root.fallocate(fd, mode, PAGE, PAGE))).toBe('EOPNOTSUPP');
      expect(await letters(root, at('a'))).toBe('abcd');
    },
  },
  {
    name: 'fallocate refuses what is no range, no such mode, no file, and no descriptor for writing',
    lowers: [{ a: PAGES, d: {} }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      expect(await errnoOf(root.fallocate(fd, 0, 0, 0))).toBe('EINVAL');
      expect(await errnoOf(root.fallocate(fd, 0, -1, 10))).toBe('EINVAL');
      expect(await errnoOf(root.fallocate(fd, PUNCH_HOLE, 0, PAGE))).toBe('EOPNOTSUPP');
      expect(await errnoOf(root.fallocate(fd, 0x4000, 0, PAGE))).toBe('EOPNOTSUPP');
      const reader = await root.open(at('a'), O_RDONLY);
      expect(await errnoOf(root.fallocate(reader, 0, 0, 10))).toBe('EBADF');
      expect(await letters(root, at('a'))).toBe('abcd');
    },
  },
  {
    name: 'a punched hole is one: fewer blocks, told by SEEK_HOLE, kept over a remount',
    differs: { 'fuse-native': LIMITS.holes },
    lowers: [{ a: PAGES }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      await root.fsync(fd);
      // Beside the four of the data there may be a block of xattrs.
      const { blocks } = await root.fstat(fd);
      await root.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, PAGE, 2 * PAGE);
      await root.fsync(fd);
      expect((await root.fstat(fd)).blocks).toBe(blocks - 16);
      expect(await root.lseek(fd, 0, SEEK_HOLE)).toBe(PAGE);
      expect(await root.lseek(fd, PAGE, SEEK_DATA)).toBe(3 * PAGE);
    },
    async after({ root, at }) {
      const fd = await root.open(at('a'), O_RDONLY);
      expect(await root.lseek(fd, 0, SEEK_HOLE)).toBe(PAGE);
      expect(await root.lseek(fd, PAGE, SEEK_DATA)).toBe(3 * PAGE);
    },
  },
];

const holes: readonly Row[] = [
  {
    name: 'SEEK_DATA sees what is written and not yet on disk, in a file that was copied up too',
    differs: { 'fuse-native': LIMITS.holes },
    lowers: [{ a: '' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      await root.pwrite(fd, 'x'.repeat(PAGE), 64 * PAGE);
      expect(await root.lseek(fd, 0, SEEK_DATA)).toBe(64 * PAGE);
      expect(await root.lseek(fd, 64 * PAGE, SEEK_HOLE)).toBe(65 * PAGE);
      await root.ftruncate(fd, 80 * PAGE);
      expect(await root.lseek(fd, 64 * PAGE, SEEK_HOLE)).toBe(65 * PAGE);
      expect(await errnoOf(root.lseek(fd, 66 * PAGE, SEEK_DATA))).toBe('ENXIO');
      expect(await errnoOf(root.lseek(fd, 80 * PAGE, SEEK_DATA))).toBe('ENXIO');
    },
  },
  {
    name: 'SEEK_HOLE of a file without holes is its end, of a metacopy too',
    lowers: [{ a: PAGES, m: PAGES }],
    async run({ root, at }) {
      await root.chmod(at('m'), 0o600);
      for (const name of ['a', 'm']) {
        const fd = await root.open(at(name), O_RDONLY);
        expect(await root.lseek(fd, 0, SEEK_HOLE)).toBe(4 * PAGE);
        expect(await root.lseek(fd, PAGE, SEEK_DATA)).toBe(PAGE);
      }
    },
  },
];

/** copy_file_range(2) between offsets, until all is copied or there is no more. */
async function copy(root: System, from: number, at: number, to: number, target: number, length: number) {
  await root.lseek(from, at, 0);
  if (from !== to) await root.lseek(to, target, 0);
  let copied = 0;
  for (let part = 1; part > 0 && copied < length; copied += part) {
    part = await root.copyFileRange(from, to, length - copied);
  }
  return copied;
}

const RANGE_PROTOTYPE =
  'int64_t copy_file_range(int from, void *fromOffset, int to, void *toOffset, size_t length, uint32_t flags)';

/** Within one file, where both sides share the descriptor's offset. */
async function copyWithin(root: System, fd: number, from: number, to: number, length: number): Promise<number> {
  const [source, target] = [Buffer.alloc(8), Buffer.alloc(8)];
  source.writeBigInt64LE(BigInt(from));
  target.writeBigInt64LE(BigInt(to));
  return Number((await root.agent.check(RANGE_PROTOTYPE, [fd, source, fd, target, length, 0])).value);
}

const ranges: readonly Row[] = [
  {
    name: 'copy_file_range within a file copies pages that do not overlap, and refuses those that do',
    lowers: [{ a: PAGES }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      expect(await copyWithin(root, fd, 0, 2 * PAGE, PAGE)).toBe(PAGE);
      expect(await errnoOf(copyWithin(root, fd, 0, PAGE, 2 * PAGE))).toBe('EINVAL');
      expect(await letters(root, at('a'))).toBe('abad');
    },
  },
  {
    name: 'copy_file_range between lower, upper and metacopied files, into the middle and behind the end',
    lowers: [{ low: PAGES, meta: PAGES, into: PAGES }],
    upper: { up: PAGES },
    async run({ root, at, lower }) {
      await root.chmod(at('meta'), 0o600);
      const into = await root.open(at('into'), O_RDWR);
      const open = (name: string) => root.open(at(name), O_RDONLY);
      expect(await copy(root, await open('low'), PAGE, into, 0, PAGE)).toBe(PAGE);
      expect(await copy(root, await open('meta'), 2 * PAGE, into, PAGE, PAGE)).toBe(PAGE);
      expect(await copy(root, await open('up'), 3 * PAGE, into, 5 * PAGE, PAGE)).toBe(PAGE);
      expect(await letters(root, at('into'))).toBe('bccd.d');
      expect(await letters(root, lower(0, 'into'))).toBe('abcd');
    },
    async after({ root, at }) {
      expect(await letters(root, at('into'))).toBe('bccd.d');
    },
  },
  {
    name: 'copy_file_range stops at the end of its source and copies nothing from behind it',
    lowers: [{ a: PAGES }],
    async run({ root, at }) {
      const from = await root.open(at('a'), O_RDONLY);
      await root.put(at('b'), '');
      const to = await root.open(at('b'), O_RDWR);
      expect(await copy(root, from, 3 * PAGE, to, 0, 10 * PAGE)).toBe(PAGE);
      expect(await copy(root, from, 4 * PAGE, to, 0, PAGE)).toBe(0);
      expect(await copy(root, from, 9 * PAGE, to, 0, PAGE)).toBe(0);
      expect(await letters(root, at('b'))).toBe('d');
    },
  },
  {
    name: 'copy_file_range takes what was written and is not yet on disk, and is seen by who has the target open',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), '');
      await root.put(at('b'), PAGES);
      const from = await root.open(at('a'), O_RDWR);
      await root.write(from, 'z'.repeat(PAGE));
      const reader = await root.open(at('b'), O_RDONLY);
      expect((await root.pread(reader, 3, PAGE)).toString()).toBe('bbb');
      const to = await root.open(at('b'), O_WRONLY);
      expect(await copy(root, from, 0, to, PAGE, PAGE)).toBe(PAGE);
      expect((await root.pread(reader, 3, PAGE)).toString()).toBe('zzz');
      expect(await letters(root, at('b'))).toBe('azcd');
    },
  },
  {
    name: 'copy_file_range refuses the wrong descriptors and directories',
    lowers: [{ a: PAGES, b: PAGES, d: {} }],
    async run({ root, at }) {
      const reader = await root.open(at('a'), O_RDONLY);
      const writer = await root.open(at('b'), O_WRONLY);
      expect(await errnoOf(root.copyFileRange(reader, reader, PAGE))).toBe('EBADF');
      expect(await errnoOf(root.copyFileRange(writer, writer, PAGE))).toBe('EBADF');
      const appender = await root.open(at('b'), O_WRONLY | O_APPEND);
      expect(await errnoOf(root.copyFileRange(reader, appender, PAGE))).toBe('EBADF');
      const directory = await root.open(at('d'), O_RDONLY);
      expect(await errnoOf(root.copyFileRange(directory, writer, PAGE))).toBe('EISDIR');
    },
  },
  {
    name: 'copy_file_range out of the mount and into it copies, by reads and writes',
    lowers: [{ a: PAGES }],
    async run({ root, at, ground }) {
      const outside = `${ground.directory}/outside`;
      const from = await root.open(at('a'), O_RDONLY);
      const out = await root.open(outside, 0o102);
      // Two filesystems of different types: the system call says so, and cp falls back.
      const outcome = await errnoOf(copy(root, from, 0, out, 0, 4 * PAGE));
      expect(['none', 'EXDEV']).toContain(outcome);
      if (outcome === 'none') expect(await letters(root, outside)).toBe('abcd');
      await root.unlink(outside);
    },
  },
  {
    name: 'FICLONE is refused as by a filesystem without reflinks, and cp --reflink=auto copies',
    lowers: [{ a: PAGES }],
    async run({ root, at, ground }) {
      const from = await root.open(at('a'), O_RDONLY);
      const to = await root.open(at('b'), 0o102);
      const clone = root.agent.check('int ioctl(int fd, unsigned long request, int from)', [to, FICLONE, from]);
      expect(await errnoOf(clone)).toBe('EOPNOTSUPP');
      await ground.must(['cp', '--reflink=auto', at('a'), at('c')]);
      expect(await letters(root, at('c'))).toBe('abcd');
    },
  },
];

const coherence: readonly Row[] = [
  {
    name: 'data survives that its pages are dropped between two writes',
    needs: ['drop caches'],
    lowers: [{ a: PAGES }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      await root.pwrite(fd, 'z'.repeat(PAGE), PAGE);
      await root.fsync(fd);
      dropCaches();
      await root.pwrite(fd, 'y', 0);
      await root.fsync(fd);
      dropCaches();
      expect((await root.pread(fd, 3, 0)).toString()).toBe('yaa');
      expect((await root.pread(fd, 3, PAGE)).toString()).toBe('zzz');
      expect((await root.pread(fd, 3, 2 * PAGE)).toString()).toBe('ccc');
    },
  },
];

conformance('space', [...allocations, ...holes, ...ranges, ...coherence]);
