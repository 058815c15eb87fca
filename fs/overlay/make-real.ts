import { type ByteString } from '../sys/bytes.ts';
import {
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDWR,
  O_WRONLY,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
} from '../sys/constants.ts';
import { EINVAL, EPERM } from '../sys/errno.ts';
import { close, mkdirat, mknodat, openat, symlinkat } from '../sys/file.ts';
import { keepUmask } from '../sys/metadata.ts';
import { NO_OVERRIDE } from './stat-override.ts';
import { type Union } from './union.ts';

/** Owners, modes and types of files in the upper are kept in records. */
export function keepsRecords(union: Pick<Union, 'upper'>): boolean {
  return union.upper !== undefined && union.upper.override !== NO_OVERRIDE;
}

/** An id that the user namespace does not map, or no right to give files away. */
export function isForeign(errno: number): boolean {
  return errno === -EINVAL || errno === -EPERM;
}

/** The mode of a new file on disk: where its own is in a record, one that lets us reach it, and nobody else. */
export function realMode(union: Union, mode: number): number {
  if (!keepsRecords(union)) return mode & 0o7777;
  return (mode & S_IFMT) === S_IFDIR ? 0o700 : 0o600;
}

/**
 * The permission bits that the copy of a regular file or a directory is made with: its own, but that we can write, and
 * without what chown(2) takes away.
 *
 * @param mode with the type.
 */
export function copyMode(union: Pick<Union, 'upper'>, mode: number): number {
  const ours = (mode & S_IFMT) === S_IFDIR ? 0o700 : 0o600;
  return keepsRecords(union) ? ours : (mode & 0o777) | ours;
}

/** Makes the copy of a regular file, empty and open; answers its descriptor. */
export function openCopy(union: Pick<Union, 'upper'>, dirfd: number, name: ByteString, mode: number): number {
  keepUmask(0);
  return openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, copyMode(union, mode));
}

/**
 * Makes a file of any type in the upper, still ours. Where types are in records, too, a regular file stands for all that
 * is neither a directory nor a symlink.
 */
export function makeReal(
  union: Union,
  dirfd: number,
  name: ByteString,
  mode: number,
  rdev: number,
  target: ByteString,
): number {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return mkdirat(dirfd, name, realMode(union, mode));
    case S_IFLNK:
      return symlinkat(target, dirfd, name);
    default:
      return keepsRecords(union) ? makeStandIn(dirfd, name) : mknodat(dirfd, name, mode, rdev);
  }
}

function makeStandIn(dirfd: number, name: ByteString): number {
  const fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600);
  if (fd >= 0) close(fd);
  return fd < 0 ? fd : 0;
}
