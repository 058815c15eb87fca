import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { type System } from '../support/system.ts';
import { DATA_MOUNTERS } from '../support/mounters.ts';
import { ALICE, type Row, conformance } from './suite.ts';

// What must hold whoever reads and writes the data: the kernel by itself, in the layer's file (passthrough), through its
// page cache, or the daemon.

const arm = process.arch === 'arm64';
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_APPEND = 0o2000;
const O_DIRECT = arm ? 0o200000 : 0o40000;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
const F_SETFL = 4;
const SEEK_END = 2;
const POSIX_FADV_WILLNEED = 3;
const PAGE = 4096;
const OLD = 1_000_000_000_123_456_789n;
const CAPABILITY = 'security.capability';
/** VFS_CAP_REVISION_2 with CAP_NET_RAW. */
const NET_RAW = Buffer.from('0100000200200000000000000000000000000000', 'hex');

const PWRITE = 'int64_t pwrite64(int fd, uintptr_t buffer, size_t count, int64_t offset)';
const FADVISE = 'int posix_fadvise64(int fd, int64_t offset, int64_t length, int advice)';

/** A page that O_DIRECT can write from. */
async function aligned(system: System, letter: string): Promise<bigint> {
  const address = await system.mmap(-1, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  await system.poke(address, letter.repeat(PAGE));
  return address;
}

async function age(system: System, path: string): Promise<void> {
  await system.utimens(path, OLD, OLD);
  expect((await system.stat(path)).mtime).toBe(OLD);
}

const attributes: readonly Row[] = [
  {
    name: 'size, blocks, mtime and ctime of a file show at once what was written to it',
    lowers: [{ a: 'lower' }],
    async run({ root, at }) {
      await root.put(at('b'), 'upper');
      for (const name of ['a', 'b']) {
        const fd = await root.open(at(name), O_RDWR);
        await age(root, at(name));
        const { ctime, blocks } = await root.stat(at(name));
        await root.pwrite(fd, 'x'.repeat(5 * PAGE), 0);
        const status = await root.stat(at(name));
        expect(status).toMatchObject({ size: 5 * PAGE });
        expect(await root.fstat(fd)).toEqual(status);
        expect(status.mtime).toBeGreaterThan(OLD);
        expect(status.ctime).toBeGreaterThanOrEqual(ctime);
        await root.fsync(fd);
        expect((await root.stat(at(name))).blocks).toBeGreaterThan(blocks);
        expect(await root.lseek(fd, 0, SEEK_END)).toBe(5 * PAGE);
        await root.close(fd);
      }
    },
  },
  {
    name: 'mtime shows what a mapping stored, also when the file was closed long before',
    lowers: [{ a: 'x'.repeat(PAGE) }],
    async run({ root, at }) {
      await root.put(at('b'), 'x'.repeat(PAGE));
      for (const name of ['a', 'b']) {
        const fd = await root.open(at(name), O_RDWR);
        const address = await root.mmap(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
        await root.close(fd);
        await age(root, at(name));
        await root.poke(address, 'stored');
        await root.msync(address, PAGE);
        expect((await root.stat(at(name))).mtime).toBeGreaterThan(OLD);
        await root.munmap(address, PAGE);
        expect((await root.text(at(name))).slice(0, 7)).toBe('storedx');
      }
    },
  },
  {
    name: 'a file that is truncated and extended under an open descriptor shows its size and zeros there',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), 'x'.repeat(2 * PAGE));
      const fd = await root.open(at('a'), O_RDONLY);
      await root.truncate(at('a'), 3);
      await root.truncate(at('a'), 6);
      expect((await root.read(fd, 100)).toString('latin1')).toBe('xxx\0\0\0');
      expect(await root.lseek(fd, 0, SEEK_END)).toBe(6);
      await root.put(at('a'), 'new');
      expect((await root.pread(fd, 100, 0)).toString()).toBe('new');
      await root.close(fd);
    },
  },
];

const privileges: readonly Row[] = [
  {
    name: "an ordinary user's write takes setuid and setgid away that the file got after it was opened",
    needs: ['many ids'],
    lowers: [{}],
    async run({ root, as, at }) {
      await root.chmod(at(), 0o777);
      const alice = await as(ALICE);
      const fd = await alice.open(at('a'), O_RDWR | O_CREAT, 0o777);
      await root.chmod(at('a'), 0o6777);
      await alice.pwrite(fd, 'x', 0);
      expect((await root.stat(at('a'))).mode).toBe(0o100777);
      await root.chmod(at('a'), 0o6777);
      await alice.pwrite(fd, 'y', 0);
      expect((await root.stat(at('a'))).mode).toBe(0o100777);
      await alice.close(fd);
    },
  },
  {
    name: "root's write leaves setuid and setgid, and takes file capabilities away",
    needs: ['CAP_FSETID', 'trusted xattrs'],
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), 'content', O_WRONLY | O_CREAT, 0o777);
      const fd = await root.open(at('a'), O_RDWR);
      await root.chmod(at('a'), 0o6777);
      await root.pwrite(fd, 'x', 0);
      expect((await root.stat(at('a'))).mode).toBe(0o106777);
      await root.setxattr(at('a'), CAPABILITY, NET_RAW);
      await root.pwrite(fd, 'y', 0);
      expect(await errnoOf(root.getxattr(at('a'), CAPABILITY))).toBe('ENODATA');
      await root.setxattr(at('a'), CAPABILITY, NET_RAW);
      await root.pwrite(fd, 'z', 0);
      expect(await errnoOf(root.getxattr(at('a'), CAPABILITY))).toBe('ENODATA');
      await root.close(fd);
    },
  },
];

const flags: readonly Row[] = [
  {
    name: 'a file opened with O_APPEND is written elsewhere once fcntl(2) has taken that away',
    lowers: [{ a: 'lower' }],
    async run({ root, at }) {
      await root.put(at('b'), 'upper');
      for (const name of ['a', 'b']) {
        const other = await root.open(at(name), O_RDONLY);
        const fd = await root.open(at(name), O_RDWR | O_APPEND);
        await root.write(fd, '+');
        await root.fcntl(fd, F_SETFL, 0);
        await root.pwrite(fd, '#', 0);
        expect((await root.pread(other, 100, 0)).toString().replace('#', '')).toMatch(/^[a-z]{4}\+$/);
        await root.fcntl(fd, F_SETFL, O_APPEND);
        await root.write(fd, '-');
        expect((await root.pread(other, 100, 0)).toString()).toMatch(/^#[a-z]{4}\+-$/);
        expect((await root.stat(at(name))).size).toBe(7);
        await root.close(fd);
        await root.close(other);
      }
    },
  },
  {
    name: 'a file opened with O_DIRECT takes any length once fcntl(2) has taken that away, as dd does at the end',
    differs: { 'fuse-native': 'it does not tell of a change of flags' },
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), '');
      if ((await errnoOf(root.open(at('a'), O_RDWR | O_DIRECT))) !== 'none') return;
      const other = await root.open(at('a'), O_RDONLY);
      const fd = await root.open(at('a'), O_RDWR | O_DIRECT);
      const address = await aligned(root, 'd');
      expect(Number((await root.agent.check(PWRITE, [fd, address, PAGE, 0])).value)).toBe(PAGE);
      await root.fcntl(fd, F_SETFL, 0);
      expect(Number((await root.agent.check(PWRITE, [fd, address, 7, PAGE])).value)).toBe(7);
      expect((await root.pread(other, 2 * PAGE, 0)).toString()).toBe('d'.repeat(PAGE + 7));
      expect((await root.pread(fd, 10, PAGE + 1)).toString()).toBe('d'.repeat(6));
      await root.munmap(address, PAGE);
      await root.close(fd);
    },
  },
  {
    name: 'what was read ahead by posix_fadvise(2) is not what is read after a write',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), 'x'.repeat(PAGE));
      const reader = await root.open(at('a'), O_RDONLY);
      const writer = await root.open(at('a'), O_WRONLY);
      await root.agent.check(FADVISE, [reader, 0, PAGE, POSIX_FADV_WILLNEED]);
      await root.pwrite(writer, 'new', 0);
      expect((await root.pread(reader, 4, 0)).toString()).toBe('newx');
      await root.close(writer);
      await root.close(reader);
      expect((await root.text(at('a'))).slice(0, 4)).toBe('newx');
    },
  },
];

const turns: readonly Row[] = [
  {
    name: 'files that were open over copy-up, and those opened after them, all see each write',
    lowers: [{ a: 'lower' }],
    async run({ root, at }) {
      const early = await root.open(at('a'), O_RDONLY);
      expect((await root.read(early, 100)).toString()).toBe('lower');
      const writer = await root.open(at('a'), O_RDWR);
      const late = await root.open(at('a'), O_RDONLY);
      await root.pwrite(writer, 'first', 0);
      for (const fd of [early, writer, late]) expect((await root.pread(fd, 100, 0)).toString()).toBe('first');
      for (const fd of [early, writer, late]) await root.close(fd);
      const again = await root.open(at('a'), O_RDWR);
      await root.pwrite(again, 'again', 0);
      expect(await root.text(at('a'))).toBe('again');
      await root.close(again);
      expect(await root.text(at('a'))).toBe('again');
    },
  },
  {
    name: 'a file is written by all its names, before and after it is renamed and unlinked',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), 'content');
      await root.link(at('a'), at('b'));
      const one = await root.open(at('a'), O_RDWR);
      const other = await root.open(at('b'), O_RDWR);
      await root.rename(at('a'), at('c'));
      await root.unlink(at('b'));
      await root.pwrite(one, 'C', 0);
      await root.pwrite(other, 'T', 6);
      const third = await root.open(at('c'), O_RDWR);
      await root.pwrite(third, 'E', 4);
      await root.unlink(at('c'));
      expect((await root.pread(one, 100, 0)).toString()).toBe('ContEnT');
      for (const fd of [one, other, third]) expect(await root.fstat(fd)).toMatchObject({ nlink: 0, size: 7 });
    },
  },
  {
    name: 'a mapping and read(2) agree, whichever came first',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), 'x'.repeat(PAGE));
      const fd = await root.open(at('a'), O_RDWR);
      const address = await root.mmap(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
      await root.poke(address, 'one');
      expect((await root.pread(fd, 4, 0)).toString()).toBe('onex');
      const appending = await root.open(at('a'), O_WRONLY | O_APPEND);
      await root.write(appending, 'end');
      await root.pwrite(fd, 'two', 0);
      expect(await root.peek(address, 4)).toBe('twox');
      expect((await root.pread(fd, 10, PAGE)).toString()).toBe('end');
      await root.munmap(address, PAGE);
      await root.close(appending);
      await root.close(fd);
      expect(await root.text(at('a'))).toBe(`two${'x'.repeat(PAGE - 3)}end`);
    },
  },
];

conformance('data and attributes', [...attributes, ...privileges, ...flags, ...turns], { mounters: DATA_MOUNTERS });
