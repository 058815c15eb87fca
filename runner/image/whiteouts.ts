import { type ByteString } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, S_IFCHR } from '../../fs/sys/constants.ts';
import { check, EOPNOTSUPP, EPERM } from '../../fs/sys/errno.ts';
import { close, mknodat, openat, statat } from '../../fs/sys/file.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { getxattrText, SELF, setxattrText } from '../../fs/sys/xattr.ts';

/** overlayfs's marks of an opaque directory: the second is for mounts without rights in the initial namespace. */
const OPAQUE_XATTRS = ['trusted.overlay.opaque', 'user.overlay.opaque', 'user.fuseoverlayfs.opaque'] as const;
const OPAQUE_FILE = '.wh..wh..opq';
const attr = new Attr();
const CREATE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

/** Hides `name` of lower layers: overlayfs's character device 0:0, or where no device can be made, AUFS's file. */
export function makeWhiteout(dirfd: number, name: ByteString): void {
  const status = mknodat(dirfd, name, S_IFCHR, 0);
  if (status === -EPERM) makeFile(dirfd, `.wh.${name}`);
  else check(status, 'make a whiteout');
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
  if (statat(fd, OPAQUE_FILE, attr) !== 0) makeFile(fd, OPAQUE_FILE);
}

/** Whether lower layers' files in the open directory `fd` are hidden. */
export function isOpaque(fd: number): boolean {
  return OPAQUE_XATTRS.some((xattr) => getxattrText(fd, SELF, xattr) === 'y') || statat(fd, OPAQUE_FILE, attr) === 0;
}
