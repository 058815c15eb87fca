import { Attr, STATX_BASIC_STATS, STATX_BTIME } from './attr.ts';
import { type ByteString, firstPath, secondPath } from './bytes.ts';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW } from './constants.ts';
import { type FileOffset, writeFileOffset } from './file-offset.ts';
import { bind, isErrno, result, syscallNumber } from './libc.ts';
import { Memory } from './memory.ts';

// Every function here answers a negative errno where the call failed. Addresses are those of a `Memory`.

const nativeOpenat = bind('int openat(int dirfd, uintptr_t path, int flags, uint32_t mode)');
const nativeOpenat2 = bind('long syscall(long number, int dirfd, uintptr_t path, uintptr_t how, size_t size)');
const nativeClose = bind('int close(int fd)');
const nativeStatx = bind('int statx(int dirfd, uintptr_t path, int flags, uint32_t mask, uintptr_t out)');
const nativePread = bind('int64_t pread64(int fd, uintptr_t buffer, size_t count, int64_t offset)');
const nativePwrite = bind('int64_t pwrite64(int fd, uintptr_t buffer, size_t count, int64_t offset)');
const nativeRead = bind('int64_t read(int fd, uintptr_t buffer, size_t count)');
const nativeWrite = bind('int64_t write(int fd, uintptr_t buffer, size_t count)');
const nativeFtruncate = bind('int ftruncate64(int fd, int64_t length)');
const nativeFsync = bind('int fsync(int fd)');
const nativeFdatasync = bind('int fdatasync(int fd)');
const nativeSyncfs = bind('int syncfs(int fd)');
const nativeFallocate = bind('int fallocate64(int fd, int mode, int64_t offset, int64_t length)');
const nativeLseek = bind('int64_t lseek64(int fd, int64_t offset, int whence)');
const nativeCopyFileRange = bind(
  'int64_t copy_file_range(int from, uintptr_t fromOffset, int to, uintptr_t toOffset, size_t length, uint32_t flags)',
);
const nativeIoctl = bind('int ioctl(int fd, unsigned long request, uintptr_t argument)');
const nativeFstatfs = bind('int fstatfs64(int fd, uintptr_t out)');
const nativeFlock = bind('int flock(int fd, int operation)');
const nativeSyncFileRange = bind('int sync_file_range(int fd, int64_t offset, int64_t length, uint32_t flags)');
const nativeReadahead = bind('int64_t readahead(int fd, int64_t offset, size_t count)');
const nativeDup3 = bind('int dup3(int from, int to, int flags)');

const SYS_OPENAT2 = syscallNumber('openat2');
const how = new Memory(24);
const EMPTY = new Memory(8);
const offsets = new Memory(16);

export function openat(dirfd: number, path: ByteString, flags: number, mode = 0): number {
  if (isErrno(dirfd)) return dirfd;
  return result(nativeOpenat(dirfd, firstPath(path), flags, mode));
}

/** openat2(2): the resolution is held inside `dirfd` by RESOLVE_* bits. Linux 5.6. */
export function openat2(dirfd: number, path: ByteString, flags: number, mode: number, resolve: number): number {
  how.view.setUint32(0, flags, true);
  how.view.setUint32(8, mode, true);
  how.view.setUint32(16, resolve, true);
  return result(nativeOpenat2(SYS_OPENAT2, dirfd, firstPath(path), how.address, 24));
}

export function close(fd: number): number {
  return result(nativeClose(fd));
}

/** Attributes of `name` in `dirfd`; a symlink is not followed. */
export function statat(dirfd: number, name: ByteString, attr: Attr): number {
  if (isErrno(dirfd)) return dirfd;
  const mask = STATX_BASIC_STATS | STATX_BTIME;
  return result(nativeStatx(dirfd, firstPath(name), AT_SYMLINK_NOFOLLOW, mask, attr.memory.address));
}

/** Attributes of an open file, O_PATH included. */
export function fstat(fd: number, attr: Attr): number {
  if (isErrno(fd)) return fd;
  const mask = STATX_BASIC_STATS | STATX_BTIME;
  return result(nativeStatx(fd, EMPTY.address, AT_EMPTY_PATH, mask, attr.memory.address));
}

export function pread(fd: number, address: number, count: number, offset: FileOffset): number {
  return result(nativePread(fd, address, count, offset));
}

export function pwrite(fd: number, address: number, count: number, offset: FileOffset): number {
  return result(nativePwrite(fd, address, count, offset));
}

export function read(fd: number, address: number, count: number): number {
  return result(nativeRead(fd, address, count));
}

export function write(fd: number, address: number, count: number): number {
  return result(nativeWrite(fd, address, count));
}

export function ftruncate(fd: number, length: FileOffset): number {
  return result(nativeFtruncate(fd, length));
}

export function fsync(fd: number): number {
  return result(nativeFsync(fd));
}

export function fdatasync(fd: number): number {
  return result(nativeFdatasync(fd));
}

const SYNC_FILE_RANGE_WRITE = 2;
// SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE and _WAIT_AFTER.
const WRITE_AND_WAIT = 7;

/** Begins to write all data of a file. */
export function startFileRange(fd: number): number {
  return result(nativeSyncFileRange(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
}

/** Writes all data of a file and waits for that: neither for its filesystem's journal nor for the disk's own cache. */
export function syncFileRange(fd: number): number {
  return result(nativeSyncFileRange(fd, 0, 0, WRITE_AND_WAIT));
}

/** Has the kernel begin to read a regular file into its page cache, and does not wait for the data. */
export function readahead(fd: number, offset: FileOffset, length: number): number {
  return result(nativeReadahead(fd, offset, length));
}

export function syncfs(fd: number): number {
  return result(nativeSyncfs(fd));
}

export function fallocate(fd: number, mode: number, offset: FileOffset, length: FileOffset): number {
  return result(nativeFallocate(fd, mode, offset, length));
}

/** A bigint where the offset that is answered does not fit a number. */
export function lseek(fd: number, offset: FileOffset, whence: number): FileOffset {
  return result(nativeLseek(fd, offset, whence));
}

/** copy_file_range(2) between given offsets; the files' own offsets do not move. */
export function copyFileRange(
  from: number,
  fromOffset: FileOffset,
  to: number,
  toOffset: FileOffset,
  length: number,
): number {
  writeFileOffset(offsets.view, 0, fromOffset);
  writeFileOffset(offsets.view, 8, toOffset);
  return result(nativeCopyFileRange(from, offsets.address, to, offsets.address + 8, length, 0));
}

/** @param argument an address, or a plain number where the request takes one. */
export function ioctl(fd: number, request: number, argument: number): number {
  return result(nativeIoctl(fd, request, argument));
}

const FICLONE = 0x40049409;

/** Makes `to` share the blocks of `from` (btrfs, xfs, bcachefs). */
export function ficlone(to: number, from: number): number {
  return ioctl(to, FICLONE, from);
}

/** The C library's `struct statfs`: f_type and f_flags are 64 bits wide on x64 and arm64. */
export const STATFS = { type: 0, flags: 80, sizeof: 120 } as const;

/** @param out `STATFS.sizeof` bytes. */
export function fstatfs(fd: number, out: Memory): number {
  return result(nativeFstatfs(fd, out.address));
}

export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;

export function flock(fd: number, operation: number): number {
  return result(nativeFlock(fd, operation));
}

/** Duplicates `from` onto `to`; `flags` is 0 or O_CLOEXEC. */
export function dup3(from: number, to: number, flags: number): number {
  return result(nativeDup3(from, to, flags));
}

const nativeReadlinkat = bind('int64_t readlinkat(int dirfd, uintptr_t path, uintptr_t buffer, size_t size)');
const nativeMkdirat = bind('int mkdirat(int dirfd, uintptr_t path, uint32_t mode)');
const nativeMknodat = bind('int mknodat(int dirfd, uintptr_t path, uint32_t mode, uint64_t device)');
const nativeSymlinkat = bind('int symlinkat(uintptr_t target, int dirfd, uintptr_t path)');
const nativeLinkat = bind('int linkat(int fromDirfd, uintptr_t from, int toDirfd, uintptr_t to, int flags)');
const nativeUnlinkat = bind('int unlinkat(int dirfd, uintptr_t path, int flags)');
const nativeRenameat2 = bind('int renameat2(int fromDirfd, uintptr_t from, int toDirfd, uintptr_t to, uint32_t flags)');

/** Writes the target at `address`, without a NUL; answers its length. */
export function readlinkat(dirfd: number, path: ByteString, address: number, size: number): number {
  if (isErrno(dirfd)) return dirfd;
  return result(nativeReadlinkat(dirfd, firstPath(path), address, size));
}

export function mkdirat(dirfd: number, path: ByteString, mode: number): number {
  if (isErrno(dirfd)) return dirfd;
  return result(nativeMkdirat(dirfd, firstPath(path), mode));
}

/** @param device as `encodeDevice` makes it: glibc's dev_t has the same bits for majors below 4,096. */
export function mknodat(dirfd: number, path: ByteString, mode: number, device: number): number {
  if (isErrno(dirfd)) return dirfd;
  return result(nativeMknodat(dirfd, firstPath(path), mode, device));
}

export function symlinkat(target: ByteString, dirfd: number, path: ByteString): number {
  if (isErrno(dirfd)) return dirfd;
  return result(nativeSymlinkat(firstPath(target), dirfd, secondPath(path)));
}

export function linkat(fromDirfd: number, from: ByteString, toDirfd: number, to: ByteString, flags = 0): number {
  if (isErrno(fromDirfd)) return fromDirfd;
  if (isErrno(toDirfd)) return toDirfd;
  return result(nativeLinkat(fromDirfd, firstPath(from), toDirfd, secondPath(to), flags));
}

export function unlinkat(dirfd: number, path: ByteString, flags = 0): number {
  if (isErrno(dirfd)) return dirfd;
  return result(nativeUnlinkat(dirfd, firstPath(path), flags));
}

export function renameat2(fromDirfd: number, from: ByteString, toDirfd: number, to: ByteString, flags = 0): number {
  if (isErrno(fromDirfd)) return fromDirfd;
  if (isErrno(toDirfd)) return toDirfd;
  return result(nativeRenameat2(fromDirfd, firstPath(from), toDirfd, secondPath(to), flags));
}
