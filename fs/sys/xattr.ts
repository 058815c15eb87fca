import { type ByteString, firstPath, secondPath } from './bytes.ts';
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from './constants.ts';
import { EBADF, EINVAL } from './errno.ts';
import { bind, isErrno, result, syscallNumber } from './libc.ts';
import { Memory } from './memory.ts';

// What takes a directory's descriptor is there since Linux 6.13 (getxattrat). Before it, and for the file of a descriptor,
// which these do not take where it is O_PATH, a file is named through /proc/self/fd/N/NAME: the magic link gives the
// directory, and NAME itself is not followed.

const nativeGet = bind('int64_t lgetxattr(uintptr_t path, uintptr_t name, uintptr_t value, size_t size)');
const nativeSet = bind('int lsetxattr(uintptr_t path, uintptr_t name, uintptr_t value, size_t size, int flags)');
const nativeList = bind('int64_t llistxattr(uintptr_t path, uintptr_t list, size_t size)');
const nativeRemove = bind('int lremovexattr(uintptr_t path, uintptr_t name)');
const nativeSetOpen = bind('int fsetxattr(int fd, uintptr_t name, uintptr_t value, size_t size, int flags)');
const nativeGetFollowed = bind('int64_t getxattr(uintptr_t path, uintptr_t name, uintptr_t value, size_t size)');
const nativeSetFollowed = bind('int setxattr(uintptr_t path, uintptr_t name, uintptr_t value, size_t size, int flags)');
const nativeListFollowed = bind('int64_t listxattr(uintptr_t path, uintptr_t list, size_t size)');
const nativeRemoveFollowed = bind('int removexattr(uintptr_t path, uintptr_t name)');

const nativeAt = bind(
  'long syscall(long number, int dirfd, uintptr_t path, uint32_t flags, uintptr_t first, uintptr_t second, size_t third)',
);
const SYS_SETXATTRAT = syscallNumber('setxattrat');
const SYS_GETXATTRAT = syscallNumber('getxattrat');
const SYS_LISTXATTRAT = syscallNumber('listxattrat');
const SYS_REMOVEXATTRAT = syscallNumber('removexattrat');
// `struct xattr_args`: a 64-bit address, a size and flags.
const value = new Memory(16);

let atCalls: boolean | undefined;

/** Asked once: the filters of older container engines answer EPERM, as a file may. */
function hasAtCalls(): boolean {
  if (atCalls !== undefined) return atCalls;
  const asked = result(nativeAt(SYS_GETXATTRAT, AT_FDCWD, firstPath('/'), 0, secondPath('user.'), value.address, 0));
  return (atCalls = asked === -EINVAL);
}

/** The file that an fd names, O_PATH included. */
export const SELF: ByteString = '';

function pathOf(dirfd: number, name: ByteString): number {
  return firstPath(name === SELF ? `/proc/self/fd/${dirfd}` : `/proc/self/fd/${dirfd}/${name}`);
}

/** With `size` 0, answers the length of the value. `name` may be `SELF`: the file of `dirfd` itself. */
export function getxattr(dirfd: number, name: ByteString, xattr: ByteString, address: number, size: number): number {
  if (isErrno(dirfd)) return dirfd;
  if (name !== SELF && hasAtCalls()) return callAt(SYS_GETXATTRAT, dirfd, name, xattr, address, size, 0);
  const call = name === SELF ? nativeGetFollowed : nativeGet;
  return result(call(pathOf(dirfd, name), secondPath(xattr), address, size));
}

function callAt(
  call: number,
  dirfd: number,
  name: ByteString,
  xattr: ByteString,
  address: number,
  size: number,
  flags: number,
): number {
  value.view.setUint32(0, address >>> 0, true);
  value.view.setUint32(4, Math.floor(address / 0x100000000), true);
  value.view.setUint32(8, size, true);
  value.view.setUint32(12, flags, true);
  const path = firstPath(name);
  return result(nativeAt(call, dirfd, path, AT_SYMLINK_NOFOLLOW, secondPath(xattr), value.address, value.size));
}

/** @param flags 0, XATTR_CREATE (1) or XATTR_REPLACE (2). */
export function setxattr(
  dirfd: number,
  name: ByteString,
  xattr: ByteString,
  address: number,
  size: number,
  flags: number,
): number {
  if (isErrno(dirfd)) return dirfd;
  if (name === SELF) {
    const done = result(nativeSetOpen(dirfd, secondPath(xattr), address, size, flags));
    // Of an O_PATH descriptor.
    if (done !== -EBADF) return done;
  } else if (hasAtCalls()) {
    return callAt(SYS_SETXATTRAT, dirfd, name, xattr, address, size, flags);
  }
  const call = name === SELF ? nativeSetFollowed : nativeSet;
  return result(call(pathOf(dirfd, name), secondPath(xattr), address, size, flags));
}

/** Names, each with its NUL, at `address`; with `size` 0, the length needed. */
export function listxattr(dirfd: number, name: ByteString, address: number, size: number): number {
  if (isErrno(dirfd)) return dirfd;
  if (name !== SELF && hasAtCalls()) {
    return result(nativeAt(SYS_LISTXATTRAT, dirfd, firstPath(name), AT_SYMLINK_NOFOLLOW, address, size, 0));
  }
  const call = name === SELF ? nativeListFollowed : nativeList;
  return result(call(pathOf(dirfd, name), address, size));
}

// XATTR_LIST_MAX of linux/limits.h.
const nameList = new Memory(65536);
const NO_NAMES: readonly ByteString[] = [];

/** The names of a file's xattrs, or a negative errno. */
export function xattrNames(dirfd: number, name: ByteString): readonly ByteString[] | number {
  const length = listxattr(dirfd, name, nameList.address, nameList.size);
  if (length <= 0) return length < 0 ? length : NO_NAMES;
  return nameList.bytes.toString('latin1', 0, length - 1).split('\0');
}

export function removexattr(dirfd: number, name: ByteString, xattr: ByteString): number {
  if (isErrno(dirfd)) return dirfd;
  if (name !== SELF && hasAtCalls())
    return result(nativeAt(SYS_REMOVEXATTRAT, dirfd, firstPath(name), AT_SYMLINK_NOFOLLOW, secondPath(xattr), 0, 0));
  const call = name === SELF ? nativeRemoveFollowed : nativeRemove;
  return result(call(pathOf(dirfd, name), secondPath(xattr)));
}

// A path, as in `overlay.redirect`, is the longest of them.
const shortValue = new Memory(4096 + 256);

/** Sets a short value given as bytes, for the overlay's own marks. */
export function setxattrText(dirfd: number, name: ByteString, xattr: ByteString, value: ByteString): number {
  const length = shortValue.bytes.write(value, 'latin1');
  return setxattr(dirfd, name, xattr, shortValue.address, length, 0);
}

/** A short value as bytes, or a negative errno. */
export function getxattrText(dirfd: number, name: ByteString, xattr: ByteString): ByteString | number {
  const length = getxattr(dirfd, name, xattr, shortValue.address, shortValue.size);
  return length < 0 ? length : shortValue.bytes.toString('latin1', 0, length);
}
