import { type ByteString, firstPath } from './bytes.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, UTIME_NOW, UTIME_OMIT } from './constants.ts';
import { EINVAL } from './errno.ts';
import { bind, isErrno, result, syscallNumber } from './libc.ts';
import { Memory } from './memory.ts';

const nativeFchmod = bind('int fchmod(int fd, uint32_t mode)');
const nativeFchmodat = bind('int fchmodat(int dirfd, uintptr_t path, uint32_t mode, int flags)');
const nativeFchmodat2 = bind('long syscall(long number, int dirfd, uintptr_t path, uint32_t mode, int flags)');
const nativeFchownat = bind('int fchownat(int dirfd, uintptr_t path, uint32_t uid, uint32_t gid, int flags)');
const nativeFchown = bind('int fchown(int fd, uint32_t uid, uint32_t gid)');
const nativeUtimensat = bind('int utimensat(int dirfd, uintptr_t path, uintptr_t times, int flags)');
const nativeUmask = bind('uint32_t umask(uint32_t mask)');

const SYS_FCHMODAT2 = syscallNumber('fchmodat2');
const NO_FLAG = 1;
let fchmodat2: boolean | undefined;

/** fchmodat2 (Linux 6.6). Asked once: the filters of older container engines answer EPERM, as a file may. */
function hasFchmodat2(): boolean {
  fchmodat2 ??= result(nativeFchmodat2(SYS_FCHMODAT2, AT_FDCWD, firstPath(''), 0, NO_FLAG)) === -EINVAL;
  return fchmodat2;
}

export function fchmod(fd: number, mode: number): number {
  return result(nativeFchmod(fd, mode));
}

/**
 * Changes the mode of `name` itself. fchmodat2 (Linux 6.6) does so without following; before it, glibc has no such call
 * and the mode is set through the O_PATH-free /proc name, which follows nothing because the caller knows `name` is no
 * symlink.
 */
export function chmodat(dirfd: number, name: ByteString, mode: number): number {
  if (isErrno(dirfd)) return dirfd;
  if (hasFchmodat2()) {
    return result(nativeFchmodat2(SYS_FCHMODAT2, dirfd, firstPath(name), mode, AT_SYMLINK_NOFOLLOW));
  }
  return result(nativeFchmodat(dirfd, firstPath(name), mode, 0));
}

/** Mode of an open file, O_PATH included, which fchmod(2) refuses. */
export function chmodPath(fd: number, mode: number): number {
  if (isErrno(fd)) return fd;
  if (hasFchmodat2()) return result(nativeFchmodat2(SYS_FCHMODAT2, fd, firstPath(''), mode, AT_EMPTY_PATH));
  return result(nativeFchmodat(AT_FDCWD, firstPath(`/proc/self/fd/${fd}`), mode, 0));
}

/** An owner of 0xffffffff stays as it is. Symlinks are not followed. */
export function chownat(dirfd: number, name: ByteString, uid: number, gid: number): number {
  if (isErrno(dirfd)) return dirfd;
  return result(nativeFchownat(dirfd, firstPath(name), uid, gid, AT_SYMLINK_NOFOLLOW));
}

export function fchown(fd: number, uid: number, gid: number): number {
  return result(nativeFchown(fd, uid, gid));
}

/** Owner of an open file, O_PATH included. */
export function chownPath(fd: number, uid: number, gid: number): number {
  if (isErrno(fd)) return fd;
  return result(nativeFchownat(fd, firstPath(''), uid, gid, AT_EMPTY_PATH));
}

/** Two `struct timespec` for utimensat(2); seconds are signed. Meant to be pooled. */
export class Times {
  readonly memory = new Memory(32);

  /** Both are to be the present time, as touch(1) asks for. */
  get areNow(): boolean {
    const { view } = this.memory;
    return view.getUint32(8, true) === UTIME_NOW && view.getUint32(24, true) === UTIME_NOW;
  }

  omitAtime(): void {
    this.setAtime(0, 0, UTIME_OMIT);
  }

  omitMtime(): void {
    this.setMtime(0, 0, UTIME_OMIT);
  }

  setAtime(low: number, high: number, nsec: number): void {
    this.#set(0, low, high, nsec);
  }

  setMtime(low: number, high: number, nsec: number): void {
    this.#set(16, low, high, nsec);
  }

  #set(offset: number, low: number, high: number, nsec: number): void {
    this.memory.view.setInt32(offset, low, true);
    this.memory.view.setInt32(offset + 4, high, true);
    this.memory.view.setUint32(offset + 8, nsec, true);
    this.memory.view.setUint32(offset + 12, 0, true);
  }
}

/** Sets the times of `name` itself, to the nanosecond. */
export function utimensat(dirfd: number, name: ByteString, times: Times): number {
  if (isErrno(dirfd)) return dirfd;
  return result(nativeUtimensat(dirfd, firstPath(name), times.memory.address, AT_SYMLINK_NOFOLLOW));
}

/** Times of an open file; an O_PATH one needs AT_EMPTY_PATH (Linux 5.8), which serves both. */
export function futimens(fd: number, times: Times): number {
  if (isErrno(fd)) return fd;
  return result(nativeUtimensat(fd, firstPath(''), times.memory.address, AT_EMPTY_PATH));
}

let currentMask = -1;

/** umask(2) of the process, or of this thread once it has left the shared one by unshare(CLONE_FS). */
export function umask(mask: number): number {
  currentMask = mask;
  return nativeUmask(mask);
}

/** As `umask`, without a system call where this thread has set the same one last. */
export function keepUmask(mask: number): void {
  if (mask !== currentMask) umask(mask);
}
