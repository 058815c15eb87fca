import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../sys/constants.ts';
import { EINVAL } from '../sys/errno.ts';
import { statat } from '../sys/file.ts';
import { setxattrText } from '../sys/xattr.ts';
import { type Inode } from './inode.ts';
import { keepsRecords } from './make-real.ts';
import { type Union } from './union.ts';
import { PLAIN_XATTRS, hasDotForm, isDotMetaName } from '../layer-format.ts';

// Names of the form `.wh.NAME` as a user's own. Where whiteouts are devices they are names like any other, as in
// overlayfs; so that such a file is not taken for a whiteout later, it bears a mark before it bears the name.

const attr = new Attr();

/** 0, or -EINVAL where a file of this type cannot have the name, as in AUFS and fuse-overlayfs. */
export function checkDotName(union: Union, name: ByteString, type: number): number {
  if (!hasDotForm(name)) return 0;
  return union.reservesDotNames || (isDotMetaName(name) && type !== S_IFREG) ? -EINVAL : 0;
}

/** 0, or -EINVAL where a name that the union does not show is a whiteout in the upper's directory: it must stay. */
export function checkDotFree(upperFd: number, name: ByteString): number {
  return hasDotForm(name) && statat(upperFd, name, attr) === 0 ? -EINVAL : 0;
}

/** Whether a file has to be marked before it is given the name: a regular one, or one that stands for another type. */
export function needsPlainMark(union: Union, name: ByteString, type: number): boolean {
  if (!hasDotForm(name)) return false;
  return type === S_IFREG || (keepsRecords(union) && type !== S_IFDIR && type !== S_IFLNK);
}

/** Marks a regular file as a user's own; -EINVAL where the upper takes no such mark. */
export function markPlain(dirfd: number, name: ByteString): number {
  return PLAIN_XATTRS.some((xattr) => setxattrText(dirfd, name, xattr, 'y') === 0) ? 0 : -EINVAL;
}

/** Before a file of the upper is given a further name. */
export function markForName(union: Union, inode: Inode, name: ByteString): number {
  return needsPlainMark(union, name, inode.type) ? markPlain(union.dirfdOf(inode), union.nameOf(inode)) : 0;
}
