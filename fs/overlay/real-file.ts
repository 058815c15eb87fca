import { type Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { AT_FDCWD, AT_SYMLINK_FOLLOW, O_CLOEXEC, O_NOATIME, O_NOFOLLOW } from '../sys/constants.ts';
import { EPERM } from '../sys/errno.ts';
import { fstat, linkat, openat, statat } from '../sys/file.ts';
import { type Times, chmodPath, chmodat, chownPath, chownat, futimens, utimensat } from '../sys/metadata.ts';
import { SELF } from '../sys/xattr.ts';
import { type Layer } from './layer.ts';

// A file in a layer is named by a directory descriptor and a name, or, where it has no name, by its own descriptor
// and `SELF`. These are the system calls over both forms. A name is never followed if it is a symlink.

export function statReal(dirfd: number, name: ByteString, attr: Attr): number {
  return name === SELF ? fstat(dirfd, attr) : statat(dirfd, name, attr);
}

export function chmodReal(dirfd: number, name: ByteString, mode: number): number {
  return name === SELF ? chmodPath(dirfd, mode) : chmodat(dirfd, name, mode);
}

export function chownReal(dirfd: number, name: ByteString, uid: number, gid: number): number {
  return name === SELF ? chownPath(dirfd, uid, gid) : chownat(dirfd, name, uid, gid);
}

export function utimesReal(dirfd: number, name: ByteString, times: Times): number {
  return name === SELF ? futimens(dirfd, times) : utimensat(dirfd, name, times);
}

export function openReal(dirfd: number, name: ByteString, flags: number): number {
  if (name === SELF) return openat(AT_FDCWD, `/proc/self/fd/${dirfd}`, flags | O_CLOEXEC);
  return openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW);
}

/** Opens a file of `layer` for a user's reads: they leave a trace in the upper alone, where the mount is to have that. */
export function openForReading(layer: Layer, dirfd: number, name: ByteString, flags: number): number {
  return layer.keepsAccessTimes ? openReal(dirfd, name, flags) : openWithoutTrace(layer, dirfd, name, flags);
}

/** Opens a file of `layer` for reading without changing its atime, where that is allowed. */
export function openWithoutTrace(
  layer: Pick<Layer, 'refusesNoAtime'>,
  dirfd: number,
  name: ByteString,
  flags: number,
): number {
  if (layer.refusesNoAtime) return openReal(dirfd, name, flags);
  const quiet = openReal(dirfd, name, flags | O_NOATIME);
  if (quiet !== -EPERM) return quiet;
  const fd = openReal(dirfd, name, flags);
  // Else the file refuses us for another reason: it is immutable, or append-only.
  layer.refusesNoAtime = fd >= 0;
  return fd;
}

export function linkReal(dirfd: number, name: ByteString, toDirfd: number, toName: ByteString): number {
  if (name !== SELF) return linkat(dirfd, name, toDirfd, toName);
  return linkat(AT_FDCWD, `/proc/self/fd/${dirfd}`, toDirfd, toName, AT_SYMLINK_FOLLOW);
}
