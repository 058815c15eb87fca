import { type ByteString } from '../sys/bytes.ts';
import { EEXIST, EIO } from '../sys/errno.ts';
import { SELF, setxattrText } from '../sys/xattr.ts';
import { markForName } from './dot-names.ts';
import { type Inode } from './inode.ts';
import { noteLowerLinks } from './link-index.ts';
import { nameAgain } from './lookup.ts';
import { type RealDirectory } from './real-directory.ts';
import { linkReal } from './real-file.ts';
import { type Union } from './union.ts';

/** Keeps the parent's index right: the upper now has a file under `name`. */
export function noteUpper(union: Union, parent: Inode, name: ByteString, type: number, ino: number): void {
  const index = union.indexes.peek(parent);
  if (index === undefined) return;
  const entry = index.edit(name);
  entry.addUpper(type >> 12, ino, false);
  entry.dotWhiteout = false;
  union.indexes.grown(parent, index);
}

/**
 * Puts a name that only a lower layer has into the upper, as a link to the copied-up file. The parent is in the upper.
 */
export function linkLowerName(union: Union, inode: Inode, parent: Inode, name: ByteString): number {
  if (parent.upper === undefined) return -EIO;
  const marked = markForName(union, inode, name);
  if (marked < 0) return marked;
  if (inode.hasOrigin) markImpure(union, parent.upper);
  const linked = linkReal(union.dirfdOf(inode), union.nameOf(inode), union.fds.fd(parent.upper), name);
  if (linked < 0) return linked === -EEXIST ? 0 : linked;
  inode.lowerLinks--;
  noteLowerLinks(union, inode);
  noteUpper(union, parent, name, inode.type, inode.ino);
  if (inode.real === undefined) nameAgain(inode, parent.upper, name);
  return 0;
}

/**
 * Marks a directory of the upper as one in which inode numbers are not those on disk (fs/overlayfs/util.c,
 * ovl_set_impure): only there an origin is looked for. Made before the name that needs it. Where the mark cannot be kept,
 * numbers change at a remount.
 */
export function markImpure(union: Union, upper: RealDirectory): void {
  if (upper.impure) return;
  upper.impure = true;
  const { parent, name } = upper;
  // By its own descriptor, which is O_PATH, it takes two calls.
  if (parent === undefined) setxattrText(union.fds.fd(upper), SELF, union.impureXattr, 'y');
  else setxattrText(union.fds.fd(parent), name, union.impureXattr, 'y');
}
