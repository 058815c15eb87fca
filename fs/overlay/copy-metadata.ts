import { type Attr, STATX } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFLNK, S_IFMT, S_ISGID, S_ISUID } from '../sys/constants.ts';
import { ENODATA, EOPNOTSUPP, EPERM } from '../sys/errno.ts';
import { Memory } from '../sys/memory.ts';
import { Times } from '../sys/metadata.ts';
import { setxattr } from '../sys/xattr.ts';
import { type Layer } from './layer.ts';
import { getLayerXattr, isKeptForUsers, layerXattrNames, storedXattr } from './layer-xattrs.ts';
import { isForeign, keepsRecords } from './make-real.ts';
import { chmodReal, chownReal, utimesReal } from './real-file.ts';
import { giveRecorded } from './stat-override.ts';
import { type Union } from './union.ts';
import { isOwnXattr } from '../layer-format.ts';

// XATTR_SIZE_MAX of linux/limits.h.
const value = new Memory(65536);
const times = new Times();

/**
 * Gives a new file the owner, xattrs, ACLs, mode and times of the one it is copied from, in the order in which none
 * undoes another: chown clears setuid and capabilities, setting an ACL changes the mode.
 *
 * Where the owner cannot be kept (not mapped in this user namespace, or we may not give files away), the copy belongs
 * to us, and setuid, setgid and file capabilities go: they would be ours now (CVE-2023-0386).
 *
 * @param bare the file has no xattrs that would have to come along.
 * @param made permission bits that the new file was made with, none of them above 0777; -1 where they are not known.
 */
export function copyMetadata(
  union: Pick<Union, 'upper' | 'ownUid' | 'ownGid'>,
  layer: Layer | undefined,
  dirfd: number,
  name: ByteString,
  attr: Attr,
  toDirfd: number,
  toName: ByteString,
  bare: boolean,
  made: number,
): number {
  if (union.upper !== undefined && keepsRecords(union)) {
    const copied = copyXattrs(layer, dirfd, name, union.upper, toDirfd, toName, false);
    if (copied < 0) return copied;
    return giveRecorded(union.upper, toDirfd, toName, attr) || copyTimes(attr, toDirfd, toName);
  }
  // Most layers are root's, and so is what root makes.
  const isOurs = attr.uid === union.ownUid && attr.gid === union.ownGid;
  const owned = isOurs ? 0 : chownReal(toDirfd, toName, attr.uid, attr.gid);
  const foreign = isForeign(owned);
  if (owned < 0 && !foreign) return owned;
  const copied = bare ? 0 : copyXattrs(layer, dirfd, name, union.upper, toDirfd, toName, foreign);
  if (copied < 0) return copied;
  const kept = foreign ? attr.mode & ~(S_ISUID | S_ISGID) : attr.mode;
  // An ACL has bits of the mode in it.
  const isMade = copied === 0 && (kept & 0o7777) === made;
  if (!isMade && (kept & S_IFMT) !== S_IFLNK) {
    const changed = chmodReal(toDirfd, toName, kept & 0o7777);
    if (changed < 0) return changed;
  }
  return copyTimes(attr, toDirfd, toName);
}

/** Sets atime and mtime as `attr` has them. */
export function copyTimes(attr: Attr, dirfd: number, name: ByteString): number {
  const { view } = attr;
  times.setAtime(
    view.getInt32(STATX.atimeSec, true),
    view.getInt32(STATX.atimeSec + 4, true),
    view.getUint32(STATX.atimeNsec, true),
  );
  times.setMtime(
    view.getInt32(STATX.mtimeSec, true),
    view.getInt32(STATX.mtimeSec + 4, true),
    view.getUint32(STATX.mtimeNsec, true),
  );
  return utimesReal(dirfd, name, times);
}

/** Answers how many xattrs were copied, or a negative errno. */
function copyXattrs(
  layer: Layer | undefined,
  dirfd: number,
  name: ByteString,
  upper: Layer | undefined,
  toDirfd: number,
  toName: ByteString,
  foreign: boolean,
): number {
  const names = layerXattrNames(layer, dirfd, name);
  if (typeof names === 'number') return names === -EOPNOTSUPP ? 0 : names;
  let count = 0;
  for (const xattr of names) {
    const isUsers = !isOwnXattr(xattr) || (isKeptForUsers(layer, xattr) && isKeptForUsers(upper, xattr));
    if (!isUsers || (foreign && xattr === 'security.capability')) continue;
    const copied = copyXattr(layer, dirfd, name, upper, toDirfd, toName, xattr);
    if (copied < 0 && !mayBeLost(xattr, copied)) return copied;
    count++;
  }
  return count;
}

function copyXattr(
  layer: Layer | undefined,
  dirfd: number,
  name: ByteString,
  upper: Layer | undefined,
  toDirfd: number,
  toName: ByteString,
  xattr: ByteString,
): number {
  const length = getLayerXattr(layer, dirfd, name, xattr, value.address, value.size);
  if (length < 0) return length === -ENODATA ? 0 : length;
  return setxattr(toDirfd, toName, storedXattr(upper, xattr), value.address, length, 0);
}

/** As in overlayfs (ovl_copy_xattr): what the upper cannot hold is left behind, except ACLs, which guard access. */
function mayBeLost(xattr: ByteString, errno: number): boolean {
  if (xattr.startsWith('system.posix_acl_')) return false;
  return errno === -EOPNOTSUPP || errno === -EPERM;
}
