import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { O_CLOEXEC, O_NOFOLLOW, O_PATH, S_IFREG } from '../sys/constants.ts';
import { openat, renameat2, statat, unlinkat } from '../sys/file.ts';
import { getxattrText, setxattrText } from '../sys/xattr.ts';
import { encodeHandle, hexOf } from './file-handle.ts';
import { type Inode } from './inode.ts';
import { type Layer } from './layer.ts';
import { type RealDirectory } from './real-directory.ts';
import { type Union } from './union.ts';

// Hard links over copy-up, as with overlayfs's `index=on`: a lower file of several names is copied up to
// `workdir/index/HANDLE`, and all its names, in whichever layer, lead there, also after a remount. The names that are
// in the upper are links to it.
//
// The entry itself is one link. `overlay.nlink` on it, of the form `U+N`, tells how many links users see beyond those
// that the upper's file has (fs/overlayfs/util.c, ovl_set_nlink_upper): lower names not yet in the upper, less one for
// the entry.

const attr = new Attr();

/** Name in the index for a lower file of several names; undefined where there is no index or no handle for it. */
export function indexNameOf(
  union: Union,
  layer: Layer,
  dirfd: number,
  name: ByteString,
  type: number,
): ByteString | undefined {
  if (union.index === undefined) return undefined;
  // user.* xattrs, which ordinary users have to do with, exist on regular files and directories alone.
  if (type !== S_IFREG && !union.keepsTrustedXattrs) return undefined;
  const handle = encodeHandle(union, layer, dirfd, name);
  return handle === undefined ? undefined : hexOf(handle);
}

/** Makes a file in the workdir the index entry: the commit point, at which all its names lead to the copy. */
export function addToIndex(
  union: Union,
  index: RealDirectory,
  inode: Inode,
  temporaryDirfd: number,
  temporary: ByteString,
  name: ByteString,
): number {
  const written = setxattrText(temporaryDirfd, temporary, union.nlinkXattr, formatNlink(inode.lowerLinks));
  return written < 0 ? written : renameat2(temporaryDirfd, temporary, union.fds.fd(index), name);
}

/** Links beyond those of the upper's file. */
export function readLowerLinks(union: Union, dirfd: number, name: ByteString): number {
  const value = getxattrText(dirfd, name, union.nlinkXattr);
  return (typeof value === 'string' ? parseNlink(value) : undefined) ?? 0;
}

/** The number in a value of `overlay.nlink`; undefined where it is none. */
export function parseNlink(value: ByteString): number | undefined {
  const parsed = /^U([+-]\d{1,9})$/.exec(value);
  return parsed === null ? undefined : Number(parsed[1]);
}

/** Writes down that a name came into the upper, or that a lower name was hidden. */
export function noteLowerLinks(union: Union, inode: Inode): void {
  if (inode.indexName === '' || union.index === undefined) return;
  setxattrText(union.fds.fd(union.index), inode.indexName, union.nlinkXattr, formatNlink(inode.lowerLinks));
}

/** The value of `overlay.nlink`. */
export function formatNlink(lowerLinks: number): ByteString {
  return `U${lowerLinks < 0 ? '' : '+'}${lowerLinks}`;
}

/** After a name went: where that was the last, the entry goes, too; whoever has the file open keeps it. */
export function releaseEntry(union: Union, inode: Inode): void {
  const { index } = union;
  if (index === undefined || inode.indexName === '') return;
  const dirfd = union.fds.fd(index);
  if (statat(dirfd, inode.indexName, attr) < 0 || attr.nlink + inode.lowerLinks > 0) return;
  inode.pinned = openat(dirfd, inode.indexName, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  unlinkat(dirfd, inode.indexName);
  inode.indexName = '';
  inode.lowerLinks = 0;
  inode.real = undefined;
}
