import { type ByteString } from '../sys/bytes.ts';
import {
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_WRONLY,
  RENAME_EXCHANGE,
  S_IFCHR,
  DT_CHR,
  DT_UNKNOWN,
} from '../sys/constants.ts';
import { EEXIST, EIO, EPERM, EXDEV } from '../sys/errno.ts';
import { close, fstat, mknodat, openat, renameat2, unlinkat } from '../sys/file.ts';
import { SELF, setxattrText } from '../sys/xattr.ts';
import { type Inode } from './inode.ts';
import { COUNTER } from './options.ts';
import { protectionIn } from './protection.ts';
import { discard } from './discard.ts';
import { discardDirectory } from './discard-aside.ts';
import { type Union } from './union.ts';
import { DOT_OPAQUE, DOT_WHITEOUT, OPAQUE_XATTRS, isDotMark } from '../layer-format.ts';

// What the union writes into the upper to hide lower layers, in the first form that the upper's filesystem takes.

/** Whether whiteouts are devices in this upper. */
export function makesDevices(union: Union): boolean {
  return union.options.dotWhiteouts !== true && union.workdir?.makesDevices === true;
}

/** An empty file; a mark that is there already serves, a user's own file of such a name does not: -EEXIST. */
function touch(dirfd: number, name: ByteString): number {
  const fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o444);
  if (fd === -EEXIST) return isDotMark(dirfd, name) ? 0 : -EEXIST;
  if (fd < 0) return fd;
  close(fd);
  return 0;
}

/**
 * Marks a directory, given by its descriptor, as hiding everything below it: in the namespace of the other marks, which
 * is the one that kernel overlayfs reads.
 */
export function writeOpaque(union: Union, dirfd: number): number {
  for (const xattr of OPAQUE_XATTRS) {
    if (xattr.startsWith('trusted.') && !union.keepsTrustedXattrs) continue;
    if (setxattrText(dirfd, SELF, xattr, 'y') === 0) return 0;
  }
  return touch(dirfd, DOT_OPAQUE);
}

/**
 * Tells where the lower part of a directory stays when it is renamed (fs/overlayfs/dir.c, ovl_set_redirect): its name
 * where it stays in the same directory, else its path from the layers' roots. A redirect that it has already holds on.
 *
 * @param sameParent the directory is renamed within its parent.
 */
export function writeRedirect(union: Union, directory: Inode, sameParent: boolean): number {
  const { upper } = directory;
  if (upper === undefined) return -EIO;
  const known = upper.redirect;
  if (known !== undefined && (sameParent || known.startsWith('/'))) return 0;
  const redirect = sameParent ? directory.name : lowerPathOf(directory);
  const fd = union.fds.fd(upper);
  const written = setxattrText(fd, SELF, union.redirectXattr, redirect);
  if (written < 0) return fstat(fd, union.scratch) === 0 && protectionIn(union.scratch) !== 0 ? -EPERM : -EXDEV;
  upper.redirect = redirect;
  upper.marksRead = true;
  return 0;
}

/**
 * Where the layers below the upper, taken by themselves, have a directory: as ovl_get_redirect, by the redirects above
 * it, not by the path in the one layer in which it was found, which redirects of layers between may hide.
 */
export function lowerPathOf(directory: Inode): ByteString {
  if (directory.parent === undefined) return '';
  const redirect = directory.upper?.redirect ?? directory.name;
  return redirect.startsWith('/') ? redirect : `${lowerPathOf(directory.parent)}/${redirect}`;
}

/** Puts a whiteout where the upper has nothing. */
export function writeWhiteout(union: Union, parent: Inode, name: ByteString): number {
  if (parent.upper === undefined) return -EIO;
  const dirfd = union.fds.fd(parent.upper);
  const done = makesDevices(union) ? mknodat(dirfd, name, S_IFCHR, 0) : touch(dirfd, DOT_WHITEOUT + name);
  if (done === 0) noteWhiteout(union, parent, name);
  return done;
}

/**
 * Puts a whiteout in the place of what the upper has under `name`, which is gone afterwards. The commit point is one
 * rename (an exchange, for a directory): a crash leaves the file or the whiteout, never what lies below.
 */
export function replaceByWhiteout(union: Union, parent: Inode, name: ByteString, directory: boolean): number {
  const { workdir } = union;
  if (parent.upper === undefined || workdir === undefined) return -EIO;
  const dirfd = union.fds.fd(parent.upper);
  const temporary = workdir.temporaryName();
  let done: number;
  if (makesDevices(union)) {
    done = mknodat(workdir.fd, temporary, S_IFCHR, 0);
    if (done === 0) done = renameat2(workdir.fd, temporary, dirfd, name, directory ? RENAME_EXCHANGE : 0);
  } else {
    done = touch(dirfd, DOT_WHITEOUT + name);
    if (done === 0) done = renameat2(dirfd, name, workdir.fd, temporary);
  }
  // Left in the workdir: the old directory with its whiteouts, or what a failure left. The next mount clears the rest.
  if (directory) discardDirectory(union, workdir, temporary);
  else discard(workdir.fd, temporary);
  if (done === 0) noteWhiteout(union, parent, name);
  return done;
}

/** Makes a `.wh.NAME`, which does not hide a NAME beside it; -EXDEV where a user has a file of that name. */
export function writeDotWhiteout(union: Union, parent: Inode, name: ByteString): number {
  if (parent.upper === undefined) return -EIO;
  const made = touch(union.fds.fd(parent.upper), DOT_WHITEOUT + name);
  return made === -EEXIST ? -EXDEV : made;
}

/** Takes away a `.wh.NAME` whose place a file has taken. */
export function removeDotWhiteout(union: Union, parent: Inode, name: ByteString): void {
  if (parent.upper === undefined) return;
  unlinkat(union.fds.fd(parent.upper), DOT_WHITEOUT + name);
}

export function noteWhiteout(union: Union, parent: Inode, name: ByteString): void {
  if (!makesDevices(union)) {
    noteDotWhiteout(union, parent, name);
    return;
  }
  union.count(COUNTER.whiteouts);
  const entry = union.indexes.peek(parent)?.edit(name);
  entry?.addUpper(DT_CHR, 0, true);
  if (entry !== undefined) entry.dotWhiteout = false;
}

export function noteDotWhiteout(union: Union, parent: Inode, name: ByteString): void {
  union.count(COUNTER.whiteouts);
  const entry = union.indexes.peek(parent)?.edit(name);
  entry?.addUpper(DT_UNKNOWN, 0, true);
  if (entry !== undefined) entry.dotWhiteout = true;
}
