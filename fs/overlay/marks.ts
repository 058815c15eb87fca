import { type ByteString } from '../sys/bytes.ts';
import { SELF, getxattrText, xattrNames } from '../sys/xattr.ts';
import { isKnownPlain } from './indexed-layer.ts';
import { type RealDirectory } from './real-directory.ts';
import { type Union } from './union.ts';
import { DOT_OPAQUE, OPAQUE_XATTRS, isDotMark } from '../layer-format.ts';

/**
 * Reads what a directory says of the layers below it, once: opaque in any form, the form of whiteouts in it, and where
 * its lower part is if not under its own name. Most directories have no xattr at all, which one call tells.
 *
 * Answers 0 or a negative errno.
 */
export function readMarks(union: Union, directory: RealDirectory): number {
  if (directory.marksRead) return 0;
  directory.marksRead = isKnownPlain(directory);
  if (directory.marksRead) return 0;
  const fd = union.fds.fd(directory);
  if (fd < 0) return fd;
  // By its own descriptor, which is O_PATH, it is found through /proc.
  const { parent } = directory;
  const dirfd = parent === undefined ? fd : union.fds.fd(parent);
  const name = parent === undefined ? SELF : directory.name;
  const names = xattrNames(dirfd, name);
  directory.isBare = typeof names === 'object' && names.length === 0;
  if (typeof names !== 'number') readXattrMarks(union, directory, dirfd, name, names);
  // In the bottom layer nothing is below.
  const bottom = directory.layer.index === union.lowers.length - 1;
  directory.opaque ||= !bottom && isDotMark(fd, DOT_OPAQUE);
  directory.marksRead = true;
  return 0;
}

function readXattrMarks(
  union: Union,
  directory: RealDirectory,
  dirfd: number,
  name: ByteString,
  names: readonly ByteString[],
): void {
  for (const xattr of OPAQUE_XATTRS) {
    if (!names.includes(xattr)) continue;
    const value = getxattrText(dirfd, name, xattr);
    if (value === 'y') directory.opaque = true;
    // fs/overlayfs/namei.c, ovl_check_xwhiteouts_xattr.
    if (value === 'x') directory.xattrWhiteouts = true;
  }
  if (names.includes(union.impureXattr)) directory.impure = true;
  if (!union.followsRedirects || !names.includes(union.redirectXattr)) return;
  const redirect = getxattrText(dirfd, name, union.redirectXattr);
  if (typeof redirect === 'string') directory.redirect = redirect;
}
