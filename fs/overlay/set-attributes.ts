import { type AttrChange, type Caller, CHANGE } from '../filesystem.ts';
import { Attr } from '../sys/attr.ts';
import { O_ACCMODE, O_NONBLOCK, O_RDONLY, O_WRONLY, S_IFLNK, S_IFREG, S_ISGID, S_ISUID } from '../sys/constants.ts';
import { EISDIR, ENODATA, EOPNOTSUPP, EPERM, EROFS } from '../sys/errno.ts';
import { close, ftruncate } from '../sys/file.ts';
import { type FileOffset } from '../sys/file-offset.ts';
import { METADATA } from './copy-limit.ts';
import { type Given, ensureUpper } from './copy-up.ts';
import { giveOwner, givenGid, givenUid } from './given-attributes.ts';
import { presentStated, statInode } from './lookup.ts';
import { isMember } from './membership.ts';
import { ensureData } from './metacopy.ts';
import { type Handle } from './handle.ts';
import { type Inode } from './inode.ts';
import { removeLayerXattr } from './layer-xattrs.ts';
import { isForeign, keepsRecords } from './make-real.ts';
import { PROTECTION, protectionOf } from './protection.ts';
import { chmodAcl } from './recorded-acl.ts';
import { chmodReal, openReal, utimesReal } from './real-file.ts';
import { chmodRecorded, chownRecorded, statLayer } from './stat-override.ts';
import { type Union } from './union.ts';

const S_IXGRP = 0o010;
const CAPABILITY = 'security.capability';

const current = new Attr();

/**
 * Changes attributes, in the order in which none undoes another: chown clears setuid and setgid, truncation sets the
 * times. Fills `attr` with what users see then.
 */
export function changeAttributes(
  union: Union,
  inode: Inode,
  handle: Handle | undefined,
  change: AttrChange,
  caller: Caller,
  attr: Attr,
): number {
  if (union.upper === undefined) return -EROFS;
  const { valid } = change;
  const refused = refuseAttributes(union, inode, handle, change);
  if (refused < 0) return refused;
  const clears = (valid & CHANGE.killPrivileges) !== 0 && !hasCleared(union, caller, valid);
  if (!inode.isUpper && (valid & CHANGE.size) === 0 && !clears && !keepsRecords(union))
    return raiseChanged(union, inode, change, attr);
  const limit = (valid & CHANGE.size) === 0 ? METADATA : change.size;
  const raised = ensureUpper(union, inode, limit) || (limit === METADATA ? 0 : ensureData(union, inode, limit));
  if (raised < 0) return raised;
  const changed =
    changeOwner(union, inode, change) ||
    changeMode(union, inode, change) ||
    changeSize(union, inode, handle, change) ||
    changeTimes(union, inode, change) ||
    (clears ? clearPrivileges(union, inode, caller) : 0);
  return changed < 0 ? changed : statInode(union, inode, attr);
}

/** Copies a lower file up as it is to be: a copy and its change are made in one, by one descriptor. */
function raiseChanged(union: Union, inode: Inode, change: AttrChange, attr: Attr): number {
  const given: Given = { change, attr, isStated: false };
  const raised = ensureUpper(union, inode, METADATA, given);
  if (raised < 0) return raised;
  return given.isStated ? presentStated(union, inode, attr) : statInode(union, inode, attr);
}

/** What `chattr` forbids: may_setattr and do_sys_ftruncate. A file that was opened for writing before is truncated still. */
function refuseAttributes(
  union: Union,
  inode: Inode,
  handle: Handle | undefined,
  { valid, times }: AttrChange,
): number {
  const isResized = (valid & CHANGE.size) !== 0;
  // A truncation sets the times, too.
  const isTimed = (valid & CHANGE.times) !== 0 && !isResized;
  const isGiven = (valid & (CHANGE.mode | CHANGE.uid | CHANGE.gid)) !== 0 || (isTimed && !times.areNow);
  if (!isGiven && !isTimed && !isResized) return 0;
  const protection = protectionOf(union, inode);
  if (protection === 0) return 0;
  if (isGiven || (isResized && (protection & PROTECTION.append) !== 0)) return -EPERM;
  return (protection & PROTECTION.immutable) === 0 || (isResized && handle !== undefined) ? 0 : -EPERM;
}

/** A real chown(2) clears what has to be cleared, but for a setgid bit that root may keep and another not. */
function hasCleared(union: Union, caller: Caller, valid: number): boolean {
  return (valid & (CHANGE.uid | CHANGE.gid)) !== 0 && caller.uid === 0 && !keepsRecords(union);
}

function changeOwner(union: Union, inode: Inode, change: AttrChange): number {
  if ((change.valid & (CHANGE.uid | CHANGE.gid)) === 0) return 0;
  const dirfd = union.dirfdOf(inode);
  const name = union.nameOf(inode);
  const { upper } = union;
  if (upper === undefined || !keepsRecords(union)) return giveOwner(union, dirfd, name, change);
  const uid = givenUid(union, change);
  const gid = givenGid(union, change);
  const owned = chownRecorded(upper, dirfd, name, uid, gid, current) || forgetCapabilities(union, inode);
  return union.owners.squashes && isForeign(owned) ? 0 : owned;
}

function changeMode(union: Union, inode: Inode, change: AttrChange): number {
  if ((change.valid & CHANGE.mode) === 0) return 0;
  if (inode.type === S_IFLNK) return -EOPNOTSUPP;
  return setMode(union, inode, change.mode & 0o7777);
}

function setMode(union: Union, inode: Inode, mode: number): number {
  const dirfd = union.dirfdOf(inode);
  const name = union.nameOf(inode);
  if (!keepsRecords(union)) return chmodReal(dirfd, name, mode);
  const { upper } = union;
  if (upper === undefined) return -EROFS;
  return chmodRecorded(upper, dirfd, name, mode, current) || chmodAcl(upper, dirfd, name, mode);
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
 * What a change of content by an ordinary user takes away: setuid, setgid of a group-executable file or of one whose
 * group the caller is not in, and file capabilities (file_remove_privs in the kernel's fs/inode.c). The daemon's own
 * writes, as root's, leave them.
 *
 * @param caller undefined for a write, where FUSE has the group execute bit decide (FUSE_WRITE_KILL_SUIDGID).
 */
export function clearPrivileges(union: Union, inode: Inode, caller: Caller | undefined): number {
  const stated = statLayer(union.layerOf(inode), union.dirfdOf(inode), union.nameOf(inode), current);
  if (stated < 0) return stated;
  const { mode } = current;
  let kept = mode & ~S_ISUID;
  if ((mode & S_IXGRP) !== 0 || isOutsider(union, caller)) kept &= ~S_ISGID;
  if (kept !== mode) {
    const changed = setMode(union, inode, kept & 0o7777);
    if (changed < 0) return changed;
    // The kernel does not ask again for the mode after a direct write.
    union.attributesChanged(inode);
  }
  return forgetCapabilities(union, inode);
}

function forgetCapabilities(union: Union, inode: Inode): number {
  if (inode.type !== S_IFREG) return 0;
  const removed = removeLayerXattr(union.layerOf(inode), union.dirfdOf(inode), union.nameOf(inode), CAPABILITY);
  return removed === -ENODATA || removed === -EOPNOTSUPP ? 0 : removed;
}

/** Whether the setgid bit of the file in `current` gives a group to someone who is not in it; root may (CAP_FSETID). */
function isOutsider(union: Union, caller: Caller | undefined): boolean {
  if (caller === undefined || caller.uid === 0 || (current.mode & S_ISGID) === 0) return false;
  return !isMember(caller, union.owners.gid.shown(current.gid));
}
