import { type ByteString } from '../sys/bytes.ts';
import { RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } from '../sys/constants.ts';
import {
  EBUSY,
  EEXIST,
  EINVAL,
  EIO,
  EISDIR,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  EROFS,
  EXDEV,
  ENOSYS,
  ENOTEMPTY,
  EPERM,
} from '../sys/errno.ts';
import { renameat2, unlinkat } from '../sys/file.ts';
import { METADATA } from './copy-limit.ts';
import { ensureUpper } from './copy-up.ts';
import { materialize } from './create.ts';
import { clear } from './discard.ts';
import { checkDotFree, checkDotName, markForName } from './dot-names.ts';
import { type Inode } from './inode.ts';
import { type Alias, NO_LOWERS } from './inode-parts.ts';
import { ABSENT, NAME_MAX, resolve } from './lookup.ts';
import { redirectData } from './metacopy.ts';
import { findEntry } from './merge.ts';
import { refuseDeparture, refuseEntry } from './protection.ts';
import { afterRemoval, beforeRemoval, checkEmpty, indexBeforeHiding, undoRemoval } from './remove.ts';
import { type Union } from './union.ts';
import { markImpure, noteUpper } from './upper-names.ts';
import {
  makesDevices,
  noteDotWhiteout,
  noteWhiteout,
  removeDotWhiteout,
  writeDotWhiteout,
  writeOpaque,
  writeRedirect,
} from './upper-format.ts';
import { DOT_OPAQUE } from '../layer-format.ts';

/** One end of a rename: a name, and what the union knows of it. */
class End {
  readonly parent: Inode;
  readonly name: ByteString;
  readonly inode: Inode | undefined;
  inUpper = false;
  /** The upper has a whiteout there. */
  whiteout = false;
  dotWhiteout = false;
  /** Something below shows through once the upper has nothing there. */
  lowerVisible = false;

  constructor(parent: Inode, name: ByteString, inode: Inode | undefined) {
    this.parent = parent;
    this.name = name;
    this.inode = inode;
  }

  /** Reads what the layers have; again after a copy-up. */
  refresh(union: Union): number {
    const entry = findEntry(union, this.parent, this.name);
    if (typeof entry === 'number' && entry < 0) return entry;
    // No entry: no layer has the name, also where the upper had it a moment ago.
    const found = typeof entry === 'number' ? undefined : entry;
    this.inUpper = found !== undefined && found.inUpper && !found.whiteout;
    this.whiteout = found?.whiteout === true;
    this.dotWhiteout = found?.dotWhiteout === true;
    this.lowerVisible = found?.lowerVisible === true;
    return 0;
  }

  dirfd(union: Union): number {
    return this.parent.upper === undefined ? -EIO : union.fds.fd(this.parent.upper);
  }
}

/** renameat2(2) within the union. */
export function renameName(
  union: Union,
  parent: Inode,
  name: ByteString,
  newParent: Inode,
  newName: ByteString,
  flags: number,
): number {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0) return -EINVAL;
  if (union.upper === undefined) return -EROFS;
  if (newName.length > NAME_MAX) return -ENAMETOOLONG;
  if (newParent.unlinked) return -ENOENT;
  const moved = resolve(union, parent, name, undefined);
  if (typeof moved === 'number') return moved === ABSENT ? -ENOENT : moved;
  const nameable = checkDotName(union, newName, moved.type);
  if (nameable < 0) return nameable;
  const target = resolve(union, newParent, newName, undefined);
  if (typeof target === 'number' && target < 0) return target;
  const from = new End(parent, name, moved);
  const to = new End(newParent, newName, typeof target === 'number' ? undefined : target);
  const done = (flags & RENAME_EXCHANGE) === 0 ? move(union, from, to, flags) : exchange(union, from, to);
  if (to.inode !== undefined) union.inodes.release(to.inode);
  union.inodes.release(moved);
  return done;
}

function move(union: Union, from: End, to: End, flags: number): number {
  const { inode: moved } = from;
  const { inode: target } = to;
  if (moved === undefined) return -ENOENT;
  // rename(2): two names of one file stay as they are.
  if (moved === target) return 0;
  if (target !== undefined && (flags & RENAME_NOREPLACE) !== 0) return -EEXIST;
  const refused = refuseRename(union, from, to);
  if (refused < 0) return refused;
  if (target !== undefined) {
    if (staysWithLower(union, moved)) return -EXDEV;
    const replaceable = checkReplace(union, moved, target);
    if (replaceable < 0) return replaceable;
    const indexed = indexBeforeHiding(union, target);
    if (indexed < 0) return indexed;
  }
  const raised = raise(union, from) || raiseParent(union, to) || markForName(union, moved, to.name);
  if (raised < 0) return raised;
  const free = target === undefined && !to.whiteout ? checkDotFree(to.dirfd(union), to.name) : 0;
  if (free < 0) return free;
  const settled = keepLower(union, moved, from, to);
  if (settled < 0) return settled;
  carryOrigin(union, moved, to);
  const kept = target === undefined ? 0 : beforeRemoval(union, target, to.parent, to.name, to.inUpper);
  if (kept < 0) return kept;
  let renamed = renameReal(union, from, to, moved.isDirectory);
  if (renamed === -ENOTEMPTY && target !== undefined) {
    renamed = clearTarget(union, target) || renameReal(union, from, to, moved.isDirectory);
  }
  if (renamed < 0) {
    if (target !== undefined) undoRemoval(target);
    return renamed;
  }
  if (target !== undefined) afterRemoval(union, target, to.parent, to.name, to.inUpper);
  rename(union, moved, from, to);
  return 0;
}

/** What `chattr` forbids, which comes before all that is wrong with a rename but for NOREPLACE (vfs_rename). */
function refuseRename(union: Union, from: End, to: End): number {
  const left = from.inode === undefined ? 0 : refuseDeparture(union, from.parent, from.inode);
  if (left < 0) return left;
  return to.inode === undefined ? refuseEntry(union, to.parent) : refuseDeparture(union, to.parent, to.inode);
}

/** The rules of rename(2) for what is in the way. */
function checkReplace(union: Union, moved: Inode, target: Inode): number {
  if (target.isDirectory !== moved.isDirectory) return target.isDirectory ? -EISDIR : -ENOTDIR;
  if (target.parent === undefined) return -EBUSY;
  return target.isDirectory ? checkEmpty(union, target) : 0;
}

/** Without a redirect, a directory with parts in lower layers cannot take them along. */
function staysWithLower(union: Union, inode: Inode): boolean {
  return inode.isDirectory && inode.lowers.length > 0 && !union.makesRedirects;
}

/** Brings the moved file into the upper, under the name that it is moved from. */
function raise(union: Union, end: End): number {
  const { inode } = end;
  if (inode === undefined) return -ENOENT;
  if (staysWithLower(union, inode)) return -EXDEV;
  const raised = ensureUpper(union, inode, METADATA) || redirectData(union, inode) || raiseParent(union, end);
  if (raised < 0) return raised;
  if (end.inUpper || inode.isDirectory) return 0;
  const made = materialize(union, inode, end.parent, end.name);
  return made < 0 ? made : end.refresh(union);
}

function raiseParent(union: Union, end: End): number {
  const raised = ensureUpper(union, end.parent);
  return raised < 0 ? raised : end.refresh(union);
}

/**
 * A directory in the way is empty for users; on disk it holds whiteouts, over which rename(2) fails. It is made opaque
 * and then emptied: for users it is the same directory, whatever comes after.
 */
function clearTarget(union: Union, target: Inode): number {
  if (target.upper === undefined) return -ENOTEMPTY;
  const fd = union.fds.fd(target.upper);
  const marked = target.lowers.length === 0 ? 0 : writeOpaque(union, fd);
  if (marked < 0) return marked;
  target.lowers = NO_LOWERS;
  union.indexes.drop(target);
  return clear(fd, '.', DOT_OPAQUE);
}

/**
 * Settles what is below a directory where it is going: its own lower part comes along by a redirect, and it is never
 * merged with what is there.
 */
function keepLower(union: Union, moved: Inode, from: End, to: End): number {
  if (!moved.isDirectory || moved.upper === undefined) return 0;
  if (moved.lowers.length > 0) return writeRedirect(union, moved, from.parent === to.parent);
  return to.lowerVisible ? writeOpaque(union, union.fds.fd(moved.upper)) : 0;
}

/** The commit point: one rename, which leaves a whiteout behind where something below would show through. */
function renameReal(union: Union, from: End, to: End, directory: boolean): number {
  const fromFd = from.dirfd(union);
  const toFd = to.dirfd(union);
  if (to.whiteout && directory && !to.dotWhiteout) return swapWithWhiteout(union, from, to, fromFd, toFd);
  const renamed = from.lowerVisible
    ? renameLeavingWhiteout(union, from, to, fromFd, toFd)
    : renameat2(fromFd, from.name, toFd, to.name);
  if (renamed < 0) return renamed;
  if (!from.lowerVisible) union.indexes.peek(from.parent)?.removeUpper(from.name);
  if (to.dotWhiteout) removeDotWhiteout(union, to.parent, to.name);
  return 0;
}

/**
 * RENAME_WHITEOUT does both at once. Where the filesystem has no such thing, a `.wh.NAME` is made beforehand, which
 * does not hide the NAME beside it.
 */
function renameLeavingWhiteout(union: Union, from: End, to: End, fromFd: number, toFd: number): number {
  if (makesDevices(union)) {
    const renamed = renameat2(fromFd, from.name, toFd, to.name, RENAME_WHITEOUT);
    if (renamed === 0) noteWhiteout(union, from.parent, from.name);
    if (renamed !== -EINVAL && renamed !== -EPERM && renamed !== -ENOSYS) return renamed;
  }
  const prepared = writeDotWhiteout(union, from.parent, from.name);
  if (prepared < 0) return prepared;
  const renamed = renameat2(fromFd, from.name, toFd, to.name);
  if (renamed < 0 && !from.dotWhiteout) removeDotWhiteout(union, from.parent, from.name);
  else if (renamed === 0) noteDotWhiteout(union, from.parent, from.name);
  return renamed;
}

/** A directory cannot replace a whiteout device: they change places, and the device goes or stays as it is needed. */
function swapWithWhiteout(union: Union, from: End, to: End, fromFd: number, toFd: number): number {
  const renamed = renameat2(fromFd, from.name, toFd, to.name, RENAME_EXCHANGE);
  if (renamed < 0) return renamed;
  // A whiteout that cannot be removed hides nothing, as there is nothing below.
  if (from.lowerVisible || unlinkat(fromFd, from.name) < 0) noteWhiteout(union, from.parent, from.name);
  else union.indexes.peek(from.parent)?.removeUpper(from.name);
  return 0;
}

/** Gives the inode its new name. */
function rename(union: Union, inode: Inode, from: End, to: End): void {
  if (from.parent.children?.get(from.name) === inode) from.parent.children.delete(from.name);
  to.parent.addChild(to.name, inode);
  replaceName(inode, from, to);
  noteUpper(union, to.parent, to.name, inode.type, inode.ino);
}

/** The mark comes before the name: killed in between, a needless mark costs nothing, one that lacks shows wrong numbers. */
function carryOrigin(union: Union, inode: Inode, to: End): void {
  if (to.parent.upper === undefined) return;
  if (inode.hasOrigin || inode.lowers.length > 0) markImpure(union, to.parent.upper);
}

function replaceName(inode: Inode, from: End, to: End): void {
  if (inode.isDirectory) {
    if (inode.upper !== undefined) {
      inode.upper.parent = to.parent.upper;
      inode.upper.name = to.name;
    }
  } else if (inode.real === from.parent.upper && inode.realName === from.name) {
    inode.real = to.parent.upper;
    inode.realName = to.name;
  }
  if (inode.parent === from.parent && inode.name === from.name) {
    inode.parent = to.parent;
    inode.name = to.name;
    return;
  }
  const stays = (alias: Alias): boolean => alias.parent !== from.parent || alias.name !== from.name;
  inode.aliases = inode.aliases?.filter(stays);
  inode.aliases?.push({ parent: to.parent, name: to.name });
}

/** RENAME_EXCHANGE of any two. */
function exchange(union: Union, first: End, second: End): number {
  const { inode: one } = first;
  const { inode: other } = second;
  if (one === undefined || other === undefined) return -ENOENT;
  if (one === other) return 0;
  const refused = refuseRename(union, first, second);
  if (refused < 0) return refused;
  const raised = raise(union, first) || raise(union, second);
  if (raised < 0) return raised;
  const marked =
    checkDotName(union, first.name, other.type) ||
    markForName(union, one, second.name) ||
    markForName(union, other, first.name);
  if (marked < 0) return marked;
  const hidden = keepLower(union, one, first, second) || keepLower(union, other, second, first);
  if (hidden < 0) return hidden;
  carryOrigin(union, one, second);
  carryOrigin(union, other, first);
  const renamed = renameat2(first.dirfd(union), first.name, second.dirfd(union), second.name, RENAME_EXCHANGE);
  if (renamed < 0) return renamed;
  replaceName(one, first, second);
  replaceName(other, second, first);
  second.parent.addChild(second.name, one);
  first.parent.addChild(first.name, other);
  noteUpper(union, second.parent, second.name, one.type, one.ino);
  noteUpper(union, first.parent, first.name, other.type, other.ino);
  return 0;
}
