import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { recordLock } from '../support/structures.ts';
import { type System } from '../support/system.ts';
import { directory, file } from '../support/tree.ts';
import { DATA_MOUNTERS } from '../support/mounters.ts';
import { ALICE, BOB, type Row, conformance } from './suite.ts';

const arm = process.arch === 'arm64';
const O_RDONLY = 0;
const O_RDWR = 2;
const O_EXCL = 0o200;
const O_DIRECT = arm ? 0o200000 : 0o40000;
const O_DIRECTORY = arm ? 0o40000 : 0o200000;
const O_TMPFILE = 0o20000000 | O_DIRECTORY;
const O_PATH = 0o10000000;
const AT_SYMLINK_FOLLOW = 0x400;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const ZERO_RANGE = 0x10;
const LOCK_EX = 2;
const LOCK_SH = 1;
const LOCK_NB = 4;
const LOCK_UN = 8;
const F_GETLK = 5;
const F_SETLK = 6;
const F_WRLCK = 1;
const F_UNLCK = 2;
const FS_IOC_GETFLAGS = 0x8008_6601;
const PAGE = 4096;

const PWRITE = 'int64_t pwrite64(int fd, uintptr_t buffer, size_t count, int64_t offset)';
const PREAD = 'int64_t pread64(int fd, uintptr_t buffer, size_t count, int64_t offset)';

/** A page of `letter` in memory that O_DIRECT can write from. */
async function aligned(system: System, letter: string): Promise<bigint> {
  const address = await system.mmap(-1, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  await system.poke(address, letter.repeat(PAGE));
  return address;
}

async function mapped(system: System, fd: number, protection: number, flags: number): Promise<bigint> {
  return system.mmap(fd, PAGE, protection, flags);
}

const mappings: readonly Row[] = [
  {
    name: 'a MAP_SHARED mapping is written, synced and read back by others',
    lowers: [{ a: 'x'.repeat(PAGE) }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      const address = await mapped(root, fd, PROT_READ | PROT_WRITE, MAP_SHARED);
      await root.poke(address + 10n, 'through the mapping');
      await root.msync(address, PAGE);
      expect((await root.pread(fd, 19, 10)).toString()).toBe('through the mapping');
      await root.munmap(address, PAGE);
      await root.close(fd);
    },
    async after({ root, at }) {
      expect((await root.text(at('a'))).slice(8, 31)).toBe('xxthrough the mappingxx');
    },
  },
  {
    name: 'a MAP_SHARED mapping sees what write(2) writes',
    lowers: [{ a: 'x'.repeat(PAGE) }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      const address = await mapped(root, fd, PROT_READ, MAP_SHARED);
      expect(await root.peek(address, 3)).toBe('xxx');
      await root.pwrite(fd, 'new', 0);
      expect(await root.peek(address, 4)).toBe('newx');
      await root.munmap(address, PAGE);
    },
  },
  {
    name: 'a mapping of a lower file made before the copy-up sees what is written after it',
    differs: { kernel: 'overlayfs keeps the mapping of the lower file: stale' },
    lowers: [{ a: 'x'.repeat(PAGE) }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDONLY);
      const address = await mapped(root, fd, PROT_READ, MAP_SHARED);
      expect(await root.peek(address, 3)).toBe('xxx');
      const writer = await root.open(at('a'), O_RDWR);
      await root.pwrite(writer, 'new', 0);
      expect(await root.peek(address, 4)).toBe('newx');
      await root.munmap(address, PAGE);
    },
  },
  {
    name: 'a MAP_PRIVATE mapping of a lower file copies nothing up and keeps what is written to itself',
    lowers: [{ a: 'x'.repeat(PAGE) }],
    async run({ root, at, upper }) {
      const fd = await root.open(at('a'), O_RDONLY);
      const address = await mapped(root, fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
      await root.poke(address, 'mine');
      expect(await root.peek(address, 5)).toBe('minex');
      expect((await root.pread(fd, 4, 0)).toString()).toBe('xxxx');
      await root.munmap(address, PAGE);
      expect(await root.exists(upper('a'))).toBe(false);
    },
  },
  {
    name: 'a mapping that is written outlives the descriptor and the name',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), 'x'.repeat(PAGE));
      const fd = await root.open(at('a'), O_RDWR);
      const address = await mapped(root, fd, PROT_READ | PROT_WRITE, MAP_SHARED);
      await root.close(fd);
      await root.unlink(at('a'));
      await root.poke(address, 'late');
      await root.msync(address, PAGE);
      expect(await root.peek(address, 5)).toBe('latex');
      await root.munmap(address, PAGE);
    },
  },
];

const kinds: readonly Row[] = [
  {
    name: 'O_DIRECT is taken, or refused with EINVAL; data is right either way',
    lowers: [{ a: 'x'.repeat(PAGE) }],
    async run({ root, at }) {
      const outcome = await errnoOf(root.open(at('a'), O_RDWR | O_DIRECT));
      expect(['none', 'EINVAL']).toContain(outcome);
      if (outcome === 'EINVAL') return;
      const fd = await root.open(at('a'), O_RDWR | O_DIRECT);
      const address = await aligned(root, 'y');
      expect(Number((await root.agent.check(PWRITE, [fd, address, PAGE, 0])).value)).toBe(PAGE);
      expect(await root.text(at('a'))).toBe('y'.repeat(PAGE));
      await root.poke(address, 'z'.repeat(PAGE));
      expect(Number((await root.agent.check(PREAD, [fd, address, PAGE, 0])).value)).toBe(PAGE);
      expect(await root.peek(address, 4)).toBe('yyyy');
    },
  },
  {
    name: 'O_DIRECT reads up to the end of a file of any length, before and after its copy-up',
    lowers: [{ a: `${'x'.repeat(PAGE)}rest` }],
    async run({ root, at }) {
      const reader = await root.open(at('a'), O_RDONLY | O_DIRECT);
      const address = await root.mmap(-1, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
      expect(Number((await root.agent.check(PREAD, [reader, address, 2 * PAGE, 0])).value)).toBe(PAGE + 4);
      const writer = await root.open(at('a'), O_RDWR);
      await root.pwrite(writer, 'longer rest', PAGE);
      expect(Number((await root.agent.check(PREAD, [reader, address, 2 * PAGE, 0])).value)).toBe(PAGE + 11);
      expect(await root.peek(address + BigInt(PAGE), 11)).toBe('longer rest');
    },
  },
  {
    name: 'O_DIRECT refuses what is not in whole blocks, as the filesystem beneath does',
    lowers: [{ a: 'x'.repeat(PAGE) }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR | O_DIRECT);
      const address = await aligned(root, 'y');
      expect(await errnoOf(root.agent.check(PWRITE, [fd, address, 100, 0]))).toBe('EINVAL');
      expect(await errnoOf(root.agent.check(PWRITE, [fd, address, 512, 100]))).toBe('EINVAL');
      expect(await root.text(at('a'))).toBe('x'.repeat(PAGE));
    },
  },
  {
    name: 'a mapping through a descriptor with O_DIRECT is written back up to the byte where the file ends',
    lowers: [{ a: `${'x'.repeat(PAGE)}rest` }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR | O_DIRECT);
      const address = await root.mmap(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
      await root.poke(address + BigInt(PAGE), 'REST');
      await root.msync(address, 2 * PAGE);
      await root.munmap(address, 2 * PAGE);
      await root.close(fd);
    },
    async after({ root, at }) {
      expect(await root.text(at('a'))).toBe(`${'x'.repeat(PAGE)}REST`);
    },
  },
  {
    name: 'a direct write by an ordinary user clears setuid and setgid, and stat shows it at once',
    needs: ['many ids'],
    lowers: [{ a: file('x'.repeat(PAGE), { mode: 0o6777 }) }],
    async run({ root, at, as }) {
      await root.put(at('b'), 'x'.repeat(PAGE));
      await root.chmod(at('b'), 0o6777);
      const alice = await as(ALICE);
      for (const name of ['a', 'b']) {
        expect((await root.stat(at(name))).mode).toBe(0o106777);
        const fd = await alice.open(at(name), O_RDWR | O_DIRECT);
        const address = await aligned(alice, 'y');
        expect(Number((await alice.agent.check(PWRITE, [fd, address, PAGE, 0])).value)).toBe(PAGE);
        expect((await root.stat(at(name))).mode).toBe(0o100777);
        await alice.close(fd);
      }
    },
  },
  {
    name: 'fallocate by a user outside the file’s group clears setgid, by a member not',
    needs: ['many ids'],
    lowers: [{ foreign: file('x', { mode: 0o2666 }), own: file('x', { mode: 0o2666, gid: BOB.gid }) }],
    async run({ root, at, as }) {
      const member = await as({ ...ALICE, groups: [BOB.gid] });
      for (const name of ['foreign', 'own']) await member.fallocate(await member.open(at(name), O_RDWR), 0, 0, PAGE);
      expect((await root.stat(at('foreign'))).mode).toBe(0o100666);
      expect((await root.stat(at('own'))).mode).toBe(0o102666);
    },
  },
  {
    name: 'O_TMPFILE makes a file without a name, which linkat gives one',
    lowers: [{ d: directory({}, { mode: 0o777 }) }],
    async run({ root, at }) {
      const fd = await root.open(at('d'), O_TMPFILE | O_RDWR, 0o640);
      await root.write(fd, 'temporary');
      expect(await root.fstat(fd)).toMatchObject({ nlink: 0, size: 9, mode: 0o100640 });
      expect(await root.names(at('d'))).toEqual([]);
      await root.link(`/proc/self/fd/${fd}`, at('d/named'), AT_SYMLINK_FOLLOW);
      expect((await root.fstat(fd)).nlink).toBe(1);
      await root.close(fd);
    },
    async after({ root, at }) {
      expect(await root.text(at('d/named'))).toBe('temporary');
    },
  },
  {
    name: 'O_TMPFILE with O_EXCL cannot be given a name',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      const fd = await root.open(at('d'), O_TMPFILE | O_RDWR | O_EXCL, 0o600);
      expect(await errnoOf(root.link(`/proc/self/fd/${fd}`, at('d/n'), AT_SYMLINK_FOLLOW))).toBe('ENOENT');
    },
  },
  {
    name: 'O_PATH descriptors are stat-ed and lead on',
    lowers: [{ d: { a: 'x' } }],
    async run({ root, at }) {
      const fd = await root.open(at('d'), O_PATH);
      expect((await root.fstat(fd)).ino).toBe((await root.stat(at('d'))).ino);
      expect(await root.text(`/proc/self/fd/${fd}/a`)).toBe('x');
    },
  },
  {
    name: 'a fifo of a lower layer passes data between two processes',
    lowers: [{ p: file('') }],
    async run({ root, at }) {
      await root.mknod(at('q'), 0o010600);
      const reader = await root.open(at('q'), O_RDONLY | 0o4000);
      const writer = await root.open(at('q'), 1);
      await root.write(writer, 'through');
      expect((await root.read(reader, 100)).toString()).toBe('through');
    },
  },
];

const space: readonly Row[] = [
  {
    name: 'SEEK_DATA and SEEK_HOLE tell the holes of a file',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), '');
      const fd = await root.open(at('a'), O_RDWR);
      await root.pwrite(fd, 'x'.repeat(PAGE), 1_048_576);
      await root.ftruncate(fd, 2_097_152);
      await root.fsync(fd);
      expect(await root.lseek(fd, 0, SEEK_DATA)).toBe(1_048_576);
      expect(await root.lseek(fd, 0, SEEK_HOLE)).toBe(0);
      expect(await root.lseek(fd, 1_048_576, SEEK_HOLE)).toBe(1_048_576 + PAGE);
      expect(await errnoOf(root.lseek(fd, 1_048_576 + PAGE, SEEK_DATA))).toBe('ENXIO');
      expect(await errnoOf(root.lseek(fd, 2_097_152, SEEK_HOLE))).toBe('ENXIO');
    },
  },
  {
    name: 'fallocate makes a file longer, or keeps its size',
    lowers: [{ a: 'abc', b: 'abc' }],
    async run({ root, at }) {
      const a = await root.open(at('a'), O_RDWR);
      await root.fallocate(a, 0, 0, 10_000);
      expect((await root.fstat(a)).size).toBe(10_000);
      const b = await root.open(at('b'), O_RDWR);
      await root.fallocate(b, KEEP_SIZE, 0, 100_000);
      expect((await root.fstat(b)).size).toBe(3);
      expect((await root.fstat(b)).blocks).toBeGreaterThanOrEqual(195);
    },
  },
  {
    name: 'fallocate punches a hole and zeroes a range, in a lower file too',
    lowers: [{ a: 'x'.repeat(4 * PAGE) }],
    async run({ root, at, lower }) {
      const fd = await root.open(at('a'), O_RDWR);
      await root.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, PAGE, PAGE);
      await root.fallocate(fd, ZERO_RANGE, 2 * PAGE, 10);
      expect((await root.fstat(fd)).size).toBe(4 * PAGE);
      const content = await root.contents(at('a'));
      const expected = Buffer.alloc(4 * PAGE, 'x').fill(0, PAGE, 2 * PAGE + 10);
      expect(content.equals(expected)).toBe(true);
      expect(await root.text(lower(0, 'a'))).toBe('x'.repeat(4 * PAGE));
    },
  },
  {
    name: 'copy_file_range copies between files of lower and upper',
    lowers: [{ from: 'abcdefghij'.repeat(1_000) }],
    async run({ root, at }) {
      const from = await root.open(at('from'), O_RDONLY);
      const to = await root.open(at('to'), 0o102);
      await root.lseek(from, 5, 0);
      let copied = 0;
      while (copied < 9_995) copied += await root.copyFileRange(from, to, 9_995 - copied);
      expect(await root.copyFileRange(from, to, 10)).toBe(0);
      expect(await root.text(at('to'))).toBe('abcdefghij'.repeat(1_000).slice(5));
    },
  },
  {
    name: 'a write beyond 4 GiB is where it was put',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), '');
      const fd = await root.open(at('a'), O_RDWR);
      const far = 5 * 1024 ** 3 + 7;
      await root.pwrite(fd, 'far', far);
      expect((await root.fstat(fd)).size).toBe(far + 3);
      expect((await root.pread(fd, 10, far)).toString()).toBe('far');
      expect((await root.pread(fd, 3, 1024 ** 3 + 7)).toString()).toBe('\0\0\0');
      await root.unlink(at('a'));
    },
  },
  {
    name: 'the flags that lsattr asks for are told for files and directories',
    lowers: [{ a: 'x', d: {} }],
    async run({ root, at }) {
      for (const name of ['a', 'd']) {
        const fd = await root.open(at(name), O_RDONLY);
        expect(await errnoOf(root.ioctl(fd, FS_IOC_GETFLAGS))).toBe('none');
      }
    },
  },
  {
    name: 'an ioctl that no filesystem knows is ENOTTY',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDONLY);
      expect(await errnoOf(root.ioctl(fd, 0x8008_7a7a))).toBe('ENOTTY');
    },
  },
];

const locks: readonly Row[] = [
  {
    name: 'flock excludes between descriptors',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      const one = await root.open(at('a'), O_RDWR);
      const two = await root.open(at('a'), O_RDWR);
      await root.flock(one, LOCK_EX | LOCK_NB);
      expect(await errnoOf(root.flock(two, LOCK_EX | LOCK_NB))).toBe('EAGAIN');
      expect(await errnoOf(root.flock(two, LOCK_SH | LOCK_NB))).toBe('EAGAIN');
      await root.flock(one, LOCK_UN);
      expect(await errnoOf(root.flock(two, LOCK_EX | LOCK_NB))).toBe('none');
    },
  },
  {
    name: 'flock taken before a copy-up holds after it',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      const one = await root.open(at('a'), O_RDONLY);
      await root.flock(one, LOCK_EX | LOCK_NB);
      await root.put(at('a'), 'changed');
      const two = await root.open(at('a'), O_RDONLY);
      expect(await errnoOf(root.flock(two, LOCK_EX | LOCK_NB))).toBe('EAGAIN');
    },
  },
  {
    name: 'POSIX locks exclude between processes, by range, and go with the descriptor',
    lowers: [{ a: 'x'.repeat(100) }],
    async run({ root, at, another }) {
      const other = await another();
      const mine = await root.open(at('a'), O_RDWR);
      const theirs = await other.open(at('a'), O_RDWR);
      await root.fcntlBuffer(mine, F_SETLK, recordLock(F_WRLCK, 0, 10));
      expect(await errnoOf(other.fcntlBuffer(theirs, F_SETLK, recordLock(F_WRLCK, 5, 10)))).toBe('EAGAIN');
      expect(await errnoOf(other.fcntlBuffer(theirs, F_SETLK, recordLock(F_WRLCK, 10, 10)))).toBe('none');
      const seen = await other.fcntlBuffer(theirs, F_GETLK, recordLock(F_WRLCK, 0, 1));
      expect(seen.readInt16LE(0)).toBe(F_WRLCK);
      await root.close(mine);
      const gone = await other.fcntlBuffer(theirs, F_GETLK, recordLock(F_WRLCK, 0, 1));
      expect(gone.readInt16LE(0)).toBe(F_UNLCK);
    },
  },
];

conformance('file API', [...mappings, ...kinds, ...space, ...locks], { mounters: DATA_MOUNTERS });
