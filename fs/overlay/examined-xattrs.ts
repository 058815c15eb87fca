import { type ByteString } from '../sys/bytes.ts';
import { xattrNames } from '../sys/xattr.ts';
import { LACKS, type Inode } from './inode.ts';
import { isOwnXattr } from '../layer-format.ts';

/**
 * Finds out whether a file in a layer without records has any xattr that users could see, for `Inode.lacks`; answers
 * the names of all, or a negative errno.
 */
export function examine(inode: Inode, dirfd: number, name: ByteString): readonly ByteString[] | number {
  const names = xattrNames(dirfd, name);
  if (typeof names === 'object') inode.lacks |= names.every((other) => isOwnXattr(other)) ? LACKS.all : LACKS.notAll;
  return names;
}
