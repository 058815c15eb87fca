import { type ByteString } from '../sys/bytes.ts';
import { AT_REMOVEDIR, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, S_IFREG } from '../sys/constants.ts';
import { EBUSY, EDQUOT, EISDIR, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY, EROFS } from '../sys/errno.ts';
import { close, fstat, openat, renameat2, statat, unlinkat } from '../sys/file.ts';
import { materialize } from './create.ts';
import { ensureUpper } from './copy-up.ts';
import { type Inode } from './inode.ts';
import { type Alias } from './inode-parts.ts';
import { noteLowerLinks, releaseEntry } from './link-index.ts';
import { ABSENT, resolve } from './lookup.ts';
import { findEntry, readIndex } from './merge.ts';
import { refuseDeparture } from './protection.ts';
import { discardDirectory } from './discard-aside.ts';
import { type Union } from './union.ts';
import { replaceByWhiteout, writeWhiteout } from './upper-format.ts';

/** unlink(2). */
export function unlinkName(union: Union, parent: Inode, name: ByteString): number {
  return removeName(union, parent, name, false);
}

/** rmdir(2): of a merged directory, too, if nothing in it is visible. */
export function rmdirName(union: Union, parent: Inode, name: ByteString): number {
  return removeName(union, parent, name, true);
}

function removeName(union: Union, parent: Inode, name: ByteString, directory: boolean): number {
  const inode = resolve(union, parent, name, undefined);
  if (typeof inode === 'number') return inode === ABSENT ? -ENOENT : inode;
  const removed = removeInode(union, inode, parent, name, directory);
  union.inodes.release(inode);
  return removed;
}

function removeInode(union: Union, inode: Inode, parent: Inode, name: ByteString, directory: boolean): number {
  if (union.upper === undefined) return -EROFS;
  const refused = refuseDeparture(union, parent, inode);
  if (refused < 0) return refused;
  if (inode.isDirectory !== directory) return directory ? -ENOTDIR : -EISDIR;
  if (inode.parent === undefined && inode.isDirectory) return -EBUSY;
  if (directory) {
    const empty = checkEmpty(union, inode);
    if (empty < 0) return empty;
  }
  const indexed = indexBeforeHiding(union, inode);
  if (indexed < 0) return indexed;
  const entry = findEntry(union, parent, name);
  if (typeof entry === 'number') return entry < 0 ? entry : -ENOENT;
  const { inUpper, lowerVisible } = entry;
  const raised = ensureUpper(union, parent);
  if (raised < 0) return raised;
  const kept = beforeRemoval(union, inode, parent, name, inUpper);
  if (kept < 0) return kept;
  let removed: number;
  if (!lowerVisible) removed = removeUpper(union, parent, name, directory);
  else if (inUpper) removed = replaceByWhiteout(union, parent, name, directory);
  else removed = writeWhiteout(union, parent, name);
  if (removed === 0) afterRemoval(union, inode, parent, name, inUpper);
  else undoRemoval(inode);
  return removed;
}

/**
 * Before a name of a lower file that has others goes: only the index can tell the others' link count after a remount, so
 * the file is copied up to it (fs/overlayfs/util.c, ovl_nlink_start). A full disk is no reason to refuse a removal: the
 * count is then right for as long as this mount lasts.
 */
export function indexBeforeHiding(union: Union, inode: Inode): number {
  if (union.index === undefined || inode.isUpper || inode.lowerNlink - inode.lostLinks <= 1) return 0;
  if (inode.type !== S_IFREG && !union.keepsTrustedXattrs) return 0;
  const raised = ensureUpper(union, inode);
  return raised === -ENOSPC || raised === -EDQUOT ? 0 : raised;
}

/** 0 where a directory shows no entry, -ENOTEMPTY where it does. */
export function checkEmpty(union: Union, directory: Inode): number {
  const index = readIndexOnce(union, directory);
  if (typeof index === 'number') return index;
  for (const [, entry] of index) if (entry.visible) return -ENOTEMPTY;
  return 0;
}

function readIndexOnce(union: Union, directory: Inode): ReturnType<typeof readIndex> {
  return union.indexes.peek(directory) ?? readIndex(union, directory);
}

/** Removes what the upper has where nothing shows through from below. */
function removeUpper(union: Union, parent: Inode, name: ByteString, directory: boolean): number {
  const { workdir } = union;
  if (parent.upper === undefined || workdir === undefined) return -EROFS;
  const dirfd = union.fds.fd(parent.upper);
  let removed = unlinkat(dirfd, name, directory ? AT_REMOVEDIR : 0);
  if (removed === -ENOTEMPTY) {
    // Empty for users, but not on disk: whiteouts and marks are in it. Out of sight in one step, then cleared.
    const temporary = workdir.temporaryName();
    removed = renameat2(dirfd, name, workdir.fd, temporary);
    if (removed === 0) discardDirectory(union, workdir, temporary);
  }
  if (removed === 0) union.indexes.peek(parent)?.removeUpper(name);
  return removed;
}

/**
 * Before a name goes: makes sure that the file stays reachable for those who have it open, by its other names or by a
 * descriptor.
 */
export function beforeRemoval(union: Union, inode: Inode, parent: Inode, name: ByteString, inUpper: boolean): number {
  if (!inUpper || parent.upper === undefined) return 0;
  const dirfd = union.fds.fd(parent.upper);
  if (inode.isDirectory) {
    pin(inode, dirfd, name, O_DIRECTORY);
    return 0;
  }
  if (inode.real !== parent.upper || inode.realName !== name) return 0;
  const other = findUpperName(union, inode, parent, name);
  if (other !== undefined) {
    inode.real = other.parent.upper;
    inode.realName = other.name;
    return 0;
  }
  const lowerName = inode.lowerLinks > 0 ? namesOf(inode).find((alias) => !isName(alias, parent, name)) : undefined;
  if (lowerName !== undefined) {
    const made = materialize(union, inode, lowerName.parent, lowerName.name);
    if (made < 0) return made;
    inode.real = lowerName.parent.upper;
    inode.realName = lowerName.name;
    return 0;
  }
  pin(inode, dirfd, name, 0);
  return 0;
}

function pin(inode: Inode, dirfd: number, name: ByteString, flags: number): void {
  if (inode.pinned < 0) inode.pinned = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC | flags);
}

/** The removal that `beforeRemoval` made ready for has failed: the file is reached by its name as before. */
export function undoRemoval(inode: Inode): void {
  if (inode.parent === undefined || inode.pinned < 0) return;
  close(inode.pinned);
  inode.pinned = -1;
}

function isName(alias: Alias, parent: Inode, name: ByteString): boolean {
  return alias.parent === parent && alias.name === name;
}

function namesOf(inode: Inode): readonly Alias[] {
  const aliases = inode.aliases ?? [];
  return inode.parent === undefined ? aliases : [{ parent: inode.parent, name: inode.name }, ...aliases];
}

/** Another name of the file that the upper has. */
function findUpperName(union: Union, inode: Inode, parent: Inode, name: ByteString): Alias | undefined {
  if (inode.aliases === undefined) return undefined;
  return namesOf(inode).find((alias) => {
    if (isName(alias, parent, name) || alias.parent.upper === undefined) return false;
    const stated = statat(union.fds.fd(alias.parent.upper), alias.name, union.scratch);
    return stated === 0 && union.scratch.ino === inode.realIno;
  });
}

/** After a name went: the inode loses it, and, with the last one, its place. */
export function afterRemoval(union: Union, inode: Inode, parent: Inode, name: ByteString, inUpper: boolean): void {
  if (parent.children?.get(name) === inode) parent.children.delete(name);
  if (!inUpper) loseLowerName(union, inode);
  inode.aliases = inode.aliases?.filter((alias) => !isName(alias, parent, name));
  if (inode.parent === parent && inode.name === name) promoteAlias(inode);
  if (inode.indexName !== '') {
    releaseEntry(union, inode);
    inode.unlinked = inode.indexName === '';
    return;
  }
  if (inode.parent !== undefined) return;
  inode.unlinked = inode.isUpper ? !hasOtherNames(union, inode) : inode.lostLinks >= inode.lowerNlink;
  if (inode.isDirectory) forgetDirectory(union, inode);
  else if (inUpper && inode.real === parent.upper) {
    if (inode.real !== undefined) inode.real.layer.keptInos.delete(inode.realIno);
    inode.real = undefined;
    inode.lowerLinks = 0;
  }
}

function loseLowerName(union: Union, inode: Inode): void {
  if (!inode.isUpper) inode.lostLinks++;
  else if (inode.indexName !== '' || inode.lowerLinks > 0) inode.lowerLinks--;
  noteLowerLinks(union, inode);
}

/** The upper has further names of the file, for which nobody has asked yet. */
function hasOtherNames(union: Union, inode: Inode): boolean {
  return (
    inode.realIno !== 0 && inode.pinned >= 0 && fstat(inode.pinned, union.scratch) === 0 && union.scratch.nlink > 0
  );
}

function promoteAlias(inode: Inode): void {
  const next = inode.aliases?.shift();
  inode.parent = next?.parent;
  inode.name = next?.name ?? '';
}

function forgetDirectory(union: Union, inode: Inode): void {
  union.indexes.drop(inode);
  if (inode.upper !== undefined) union.fds.drop(inode.upper);
}
