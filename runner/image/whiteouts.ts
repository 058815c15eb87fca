import { DOT_OPAQUE, DOT_WHITEOUT, OPAQUE_XATTRS, isOpaque } from '../../fs/layer-format.ts';
import { type ByteString } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, S_IFCHR } from '../../fs/sys/constants.ts';
import { check, EOPNOTSUPP, EPERM } from '../../fs/sys/errno.ts';
import { close, mknodat, openat, statat, unlinkat } from '../../fs/sys/file.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { SELF, setxattrText } from '../../fs/sys/xattr.ts';

const XATTR_PREFIXES = ['trusted.overlay.', 'user.overlay.'] as const;
const NAME_MAX = 255;
const attr = new Attr();
const CREATE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

/**
 * Hides `name` of lower layers: overlayfs's character device 0:0, or where no device can be made, AUFS's file, whose name
 * is longer than the hidden one; where that is too long, overlayfs's xattr whiteout.
 */
export function makeWhiteout(dirfd: number, name: ByteString): void {
  const status = mknodat(dirfd, name, S_IFCHR, 0);
  if (status !== -EPERM) check(status, 'make a whiteout');
  else if (name.length + DOT_WHITEOUT.length <= NAME_MAX) makeFile(dirfd, DOT_WHITEOUT + name);
  else makeXattrWhiteout(dirfd, name);
}

/** An empty file with an xattr, in a directory that says that there are such (fs/overlayfs/namei.c, Linux 6.7). */
function makeXattrWhiteout(dirfd: number, name: ByteString): void {
  // All of an opaque directory is hidden as it is, and the mark for this has the same xattr.
  if (isOpaque(dirfd)) return;
  makeFile(dirfd, name);
  let status = 0;
  for (const prefix of XATTR_PREFIXES) {
    status = setxattrText(dirfd, name, `${prefix}whiteout`, 'y');
    if (status >= 0) status = setxattrText(dirfd, SELF, `${prefix}opaque`, 'x');
    if (status >= 0) return;
  }
  unlinkat(dirfd, name);
  check(status, 'white out, in the only form for so long a name,');
}

function makeFile(dirfd: number, name: ByteString): void {
  close(check(openat(dirfd, name, CREATE, 0o600), 'make a whiteout'));
}

/** Hides all that lower layers have in the open directory `fd`, by the first mark that the filesystem takes. */
export function makeOpaque(fd: number): void {
  for (const xattr of OPAQUE_XATTRS) {
    const status = setxattrText(fd, SELF, xattr, 'y');
    if (status >= 0) return;
    if (status !== -EPERM && status !== -EOPNOTSUPP) check(status, 'mark a directory opaque');
  }
  // It may be there: a layer can make a directory opaque, and white out what was under its name before.
  if (statat(fd, DOT_OPAQUE, attr) !== 0) makeFile(fd, DOT_OPAQUE);
}
