import { type AttrChange, CHANGE } from '../filesystem.ts';
import { Attr } from '../sys/attr.ts';
import { O_ACCMODE, O_NONBLOCK, O_RDONLY, O_WRONLY, S_IFLNK, S_ISGID, S_ISUID } from '../sys/constants.ts';
import { EISDIR, ENODATA, EOPNOTSUPP, EROFS } from '../sys/errno.ts';
import { close, ftruncate } from '../sys/file.ts';
import { type FileOffset } from '../sys/file-offset.ts';
import { removexattr } from '../sys/xattr.ts';
import { METADATA } from './copy-limit.ts';
import { ensureUpper } from './copy-up.ts';
import { ensureData } from './metacopy.ts';
import { type Handle } from './handle.ts';
import { type Inode } from './inode.ts';
import { chmodReal, chownReal, openReal, statReal, utimesReal } from './real-file.ts';
import { type Union } from './union.ts';

const UNCHANGED = 0xffffffff;
const S_IXGRP = 0o010;
const CAPABILITY = 'security.capability';

const current = new Attr();

/**
 * Changes attributes, in the order in which none undoes another: chown clears setuid and setgid, truncation sets the
 * times.
 */
export function changeAttributes(union: Union, inode: Inode, handle: Handle | undefined, change: AttrChange): number {
  if (union.upper === undefined) return -EROFS;
  const { valid } = change;
  const limit = (valid & CHANGE.size) === 0 ? METADATA : change.size;
  const raised = ensureUpper(union, inode, limit) || (limit === METADATA ? 0 : ensureData(union, inode, limit));
  if (raised < 0) return raised;
  return (
    changeOwner(union, inode, change) ||
    changeMode(union, inode, change) ||
    changeSize(union, inode, handle, change) ||
    changeTimes(union, inode, change) ||
    ((valid & CHANGE.killPrivileges) === 0 ? 0 : clearPrivileges(union, inode))
  );
}

function changeOwner(union: Union, inode: Inode, change: AttrChange): number {
  if ((change.valid & (CHANGE.uid | CHANGE.gid)) === 0) return 0;
  const uid = (change.valid & CHANGE.uid) === 0 ? UNCHANGED : union.owners.uid.stored(change.uid);
  const gid = (change.valid & CHANGE.gid) === 0 ? UNCHANGED : union.owners.gid.stored(change.gid);
  return chownReal(union.dirfdOf(inode), union.nameOf(inode), uid, gid);
}

function changeMode(union: Union, inode: Inode, change: AttrChange): number {
  if ((change.valid & CHANGE.mode) === 0) return 0;
  if (inode.type === S_IFLNK) return -EOPNOTSUPP;
  return chmodReal(union.dirfdOf(inode), union.nameOf(inode), change.mode & 0o7777);
}

function changeSize(union: Union, inode: Inode, handle: Handle | undefined, change: AttrChange): number {
  if ((change.valid & CHANGE.size) === 0) return 0;
  if (inode.isDirectory) return -EISDIR;
  return truncate(union, inode, handle, change.size);
}

function truncate(union: Union, inode: Inode, handle: Handle | undefined, size: FileOffset): number {
  if (handle !== undefined && (handle.flags & O_ACCMODE) !== O_RDONLY) return ftruncate(handle.fd, size);
  const fd = openReal(union.dirfdOf(inode), union.nameOf(inode), O_WRONLY | O_NONBLOCK);
  if (fd < 0) return fd;
  const truncated = ftruncate(fd, size);
  close(fd);
  return truncated;
}

function changeTimes(union: Union, inode: Inode, change: AttrChange): number {
  if ((change.valid & CHANGE.times) === 0) return 0;
  return utimesReal(union.dirfdOf(inode), union.nameOf(inode), change.times);
}

/**
 * What a change of content by an ordinary user takes away: setuid, setgid of a group-executable file, and file
 * capabilities (file_remove_privs in the kernel's fs/inode.c). The daemon's own writes, as root's, leave them.
 */
export function clearPrivileges(union: Union, inode: Inode): number {
  const dirfd = union.dirfdOf(inode);
  const name = union.nameOf(inode);
  const stated = statReal(dirfd, name, current);
  if (stated < 0) return stated;
  const { mode } = current;
  let kept = mode & ~S_ISUID;
  if ((mode & S_IXGRP) !== 0) kept &= ~S_ISGID;
  if (kept !== mode) {
    const changed = chmodReal(dirfd, name, kept & 0o7777);
    if (changed < 0) return changed;
    // The kernel does not ask again for the mode after a direct write.
    union.attributesChanged(inode);
  }
  const removed = removexattr(dirfd, name, CAPABILITY);
  return removed === -ENODATA || removed === -EOPNOTSUPP ? 0 : removed;
}
