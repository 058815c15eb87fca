import { expect } from 'vitest';
import { LIMITS } from '../../fs/libfuse/limits.ts';
import { errnoOf } from '../support/agent.ts';
import { recordLock } from '../support/structures.ts';
import { hardlink } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const F_GETLK = 5;
const F_SETLK = 6;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_SETLEASE = 1024;
const F_GETLEASE = 1025;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const SIGIO = 29;
const SIG_IGN = 1;

const flocks: readonly Row[] = [
  {
    name: 'flock excludes between processes, and goes with the last descriptor',
    lowers: [{ a: 'x' }],
    async run({ root, at, another }) {
      const other = await another();
      const mine = await root.open(at('a'), O_RDONLY);
      const theirs = await other.open(at('a'), O_RDONLY);
      await root.flock(mine, LOCK_SH | LOCK_NB);
      await other.flock(theirs, LOCK_SH | LOCK_NB);
      expect(await errnoOf(root.flock(mine, LOCK_EX | LOCK_NB))).toBe('EAGAIN');
      await other.close(theirs);
      await root.flock(mine, LOCK_EX | LOCK_NB);
    },
  },
  {
    name: 'flock taken on a lower file before another process writes it holds for those who open it then',
    lowers: [{ a: 'x' }],
    async run({ root, at, another }) {
      const other = await another();
      await root.flock(await root.open(at('a'), O_RDONLY), LOCK_EX | LOCK_NB);
      await other.put(at('a'), 'changed');
      await other.chmod(at('a'), 0o600);
      const theirs = await other.open(at('a'), O_RDWR);
      expect(await errnoOf(other.flock(theirs, LOCK_SH | LOCK_NB))).toBe('EAGAIN');
    },
  },
  {
    name: 'flock holds on all names of a lower file with hard links, and after a rename',
    differs: { 'fuse-native': LIMITS.hardLinks },
    lowers: [{ a: 'x', b: hardlink('a') }],
    async run({ root, at }) {
      await root.flock(await root.open(at('a'), O_RDONLY), LOCK_EX | LOCK_NB);
      const other = await root.open(at('b'), O_RDONLY);
      expect(await errnoOf(root.flock(other, LOCK_EX | LOCK_NB))).toBe('EAGAIN');
      await root.rename(at('b'), at('c'));
      const renamed = await root.open(at('c'), O_RDONLY);
      expect(await errnoOf(root.flock(renamed, LOCK_EX | LOCK_NB))).toBe('EAGAIN');
    },
  },
  {
    name: 'flock of a directory excludes',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      await root.flock(await root.open(at('d'), O_RDONLY), LOCK_EX | LOCK_NB);
      const other = await root.open(at('d'), O_RDONLY);
      expect(await errnoOf(root.flock(other, LOCK_EX | LOCK_NB))).toBe('EAGAIN');
    },
  },
];

const ranges: readonly Row[] = [
  {
    name: 'a POSIX lock on a lower file opened for reading holds after another process copies it up',
    lowers: [{ a: 'x'.repeat(100) }],
    async run({ root, at, another }) {
      const other = await another();
      const mine = await root.open(at('a'), O_RDONLY);
      await root.fcntlBuffer(mine, F_SETLK, recordLock(F_RDLCK, 0, 10));
      const theirs = await other.open(at('a'), O_RDWR);
      await other.pwrite(theirs, 'y', 50);
      expect(await errnoOf(other.fcntlBuffer(theirs, F_SETLK, recordLock(F_WRLCK, 5, 1)))).toBe('EAGAIN');
      expect(await errnoOf(other.fcntlBuffer(theirs, F_SETLK, recordLock(F_WRLCK, 10, 1)))).toBe('none');
      const seen = await other.fcntlBuffer(theirs, F_GETLK, recordLock(F_WRLCK, 0, 100));
      expect([seen.readInt16LE(0), seen.readBigInt64LE(8), seen.readBigInt64LE(16)]).toEqual([F_RDLCK, 0n, 10n]);
    },
  },
  {
    name: 'POSIX locks join, split and end by range',
    lowers: [{ a: 'x'.repeat(100) }],
    async run({ root, at, another }) {
      const other = await another();
      const mine = await root.open(at('a'), O_RDWR);
      const theirs = await other.open(at('a'), O_RDWR);
      await root.fcntlBuffer(mine, F_SETLK, recordLock(F_WRLCK, 0, 30));
      await root.fcntlBuffer(mine, F_SETLK, recordLock(F_UNLCK, 10, 10));
      const first = await other.fcntlBuffer(theirs, F_GETLK, recordLock(F_WRLCK, 0, 0));
      const second = await other.fcntlBuffer(theirs, F_GETLK, recordLock(F_WRLCK, 10, 0));
      expect([first.readBigInt64LE(8), first.readBigInt64LE(16)]).toEqual([0n, 10n]);
      expect([second.readBigInt64LE(8), second.readBigInt64LE(16)]).toEqual([20n, 10n]);
    },
  },
  {
    name: 'a POSIX lock needs a descriptor of its kind: EBADF',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      const reader = await root.open(at('a'), O_RDONLY);
      expect(await errnoOf(root.fcntlBuffer(reader, F_SETLK, recordLock(F_WRLCK, 0, 0)))).toBe('EBADF');
      const writer = await root.open(at('a'), O_WRONLY);
      expect(await errnoOf(root.fcntlBuffer(writer, F_SETLK, recordLock(F_RDLCK, 0, 0)))).toBe('EBADF');
    },
  },
  {
    name: 'OFD locks exclude between descriptors of one process and against POSIX locks',
    lowers: [{ a: 'x'.repeat(100) }],
    async run({ root, at, another }) {
      const other = await another();
      const one = await root.open(at('a'), O_RDWR);
      const two = await root.open(at('a'), O_RDWR);
      const theirs = await other.open(at('a'), O_RDWR);
      await root.fcntlBuffer(one, F_OFD_SETLK, recordLock(F_WRLCK, 0, 10));
      expect(await errnoOf(root.fcntlBuffer(two, F_OFD_SETLK, recordLock(F_WRLCK, 5, 10)))).toBe('EAGAIN');
      expect(await errnoOf(other.fcntlBuffer(theirs, F_SETLK, recordLock(F_RDLCK, 9, 1)))).toBe('EAGAIN');
      const seen = await root.fcntlBuffer(two, F_OFD_GETLK, recordLock(F_WRLCK, 0, 0));
      expect([seen.readInt16LE(0), seen.readInt32LE(24)]).toEqual([F_WRLCK, -1]);
      await root.close(one);
      expect(await errnoOf(root.fcntlBuffer(two, F_OFD_SETLK, recordLock(F_WRLCK, 5, 10)))).toBe('none');
    },
  },
  {
    name: 'OFD locks of a lower file hold over its copy-up',
    lowers: [{ a: 'x'.repeat(100) }],
    async run({ root, at }) {
      const one = await root.open(at('a'), O_RDONLY);
      await root.fcntlBuffer(one, F_OFD_SETLK, recordLock(F_RDLCK, 0, 10));
      const two = await root.open(at('a'), O_RDWR);
      await root.write(two, 'y');
      expect(await errnoOf(root.fcntlBuffer(two, F_OFD_SETLK, recordLock(F_WRLCK, 0, 1)))).toBe('EAGAIN');
    },
  },
  {
    name: 'locks of an unlinked open file exclude still, and leave the new file of its name free',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      const one = await root.open(at('a'), O_RDWR);
      await root.flock(one, LOCK_EX | LOCK_NB);
      await root.unlink(at('a'));
      const again = await root.open(`/proc/self/fd/${one}`, O_RDWR);
      expect(await errnoOf(root.flock(again, LOCK_EX | LOCK_NB))).toBe('EAGAIN');
      await root.put(at('a'), 'new');
      expect(await errnoOf(root.flock(await root.open(at('a'), O_RDWR), LOCK_EX | LOCK_NB))).toBe('none');
    },
  },
];

const leases: readonly Row[] = [
  {
    name: 'a read lease on a lower file is broken by an open for writing',
    lowers: [{ a: 'x' }],
    async run({ root, at, another }) {
      const other = await another();
      await root.agent.call('uintptr_t signal(int number, uintptr_t handler)', [SIGIO, SIG_IGN]);
      const fd = await root.open(at('a'), O_RDONLY);
      await root.fcntl(fd, F_SETLEASE, F_RDLCK);
      expect(await root.fcntl(fd, F_GETLEASE, 0)).toBe(F_RDLCK);
      expect(await errnoOf(other.open(at('a'), O_WRONLY | O_NONBLOCK))).toBe('EAGAIN');
      await root.fcntl(fd, F_SETLEASE, F_UNLCK);
      expect(await errnoOf(other.open(at('a'), O_WRONLY | O_NONBLOCK))).toBe('none');
    },
  },
  {
    name: 'a write lease is refused where another has the file open',
    lowers: [{}],
    async run({ root, at, another }) {
      const other = await another();
      await root.put(at('a'), 'x');
      const fd = await root.open(at('a'), O_RDWR);
      const theirs = await other.open(at('a'), O_RDONLY);
      expect(await errnoOf(root.fcntl(fd, F_SETLEASE, F_WRLCK))).toBe('EAGAIN');
      await other.close(theirs);
      expect(await errnoOf(root.fcntl(fd, F_SETLEASE, F_WRLCK))).toBe('none');
      expect(await root.fcntl(fd, F_GETLEASE, 0)).toBe(F_WRLCK);
    },
  },
];

conformance('locks', [...flocks, ...ranges, ...leases]);
