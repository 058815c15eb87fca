import { type Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { EOPNOTSUPP, ENODATA, EPERM } from '../sys/errno.ts';
import { ioctl } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import { getxattrText, removexattr, setxattrText } from '../sys/xattr.ts';
import { type Inode } from './inode.ts';
import { type Union } from './union.ts';

// What `chattr +i` and `+a` forbid. Of a lower file, its filesystem knows; of one in the upper, `overlay.protattr` tells,
// as in kernel overlayfs (fs/overlayfs/util.c, ovl_set_protattr): a file that its filesystem protects could not be moved
// into its place, nor could what a protected directory holds be copied up. The kernel's FUSE does not know that files are
// protected, so what it holds to elsewhere is held to here.

const STATX_ATTR_IMMUTABLE = 0x10;
const STATX_ATTR_APPEND = 0x20;

// linux/fs.h
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_SYNC = 0x08;
const FS_NOATIME = 0x80;

const ioctlFlags = new Memory(8);

/** Bits of `Inode.protection`. */
export const PROTECTION = {
  immutable: 1,
  append: 2,
  /** The file is in the upper, and nobody has asked for its `overlay.protattr` yet. */
  unread: 4,
} as const;

/** The protection that a file's own filesystem knows of. */
export function protectionIn({ attributes }: Attr): number {
  return (
    ((attributes & STATX_ATTR_IMMUTABLE) === 0 ? 0 : PROTECTION.immutable) |
    ((attributes & STATX_ATTR_APPEND) === 0 ? 0 : PROTECTION.append)
  );
}

/** Whether a file is immutable or append-only: asked before it is changed, so that those only read cost nothing. */
export function protectionOf(union: Union, inode: Inode): number {
  if ((inode.protection & PROTECTION.unread) === 0) return inode.protection;
  inode.protection &= ~PROTECTION.unread;
  const marks = getxattrText(union.dirfdOf(inode), union.nameOf(inode), union.protattrXattr);
  if (typeof marks === 'string') inode.protection |= parseProtection(marks);
  return inode.protection;
}

/** A value in which anything is not known is none (ovl_check_protattr). */
function parseProtection(marks: ByteString): number {
  if (!/^[ai]*$/.test(marks)) return 0;
  return (marks.includes('i') ? PROTECTION.immutable : 0) | (marks.includes('a') ? PROTECTION.append : 0);
}

function formatProtection(protection: number): ByteString {
  return ((protection & PROTECTION.append) === 0 ? '' : 'a') + ((protection & PROTECTION.immutable) === 0 ? '' : 'i');
}

/** Gives a copy what protects the file that it is of; where the upper cannot keep that, it is right without. */
export function copyProtection(union: Union, attr: Attr, dirfd: number, name: ByteString): number {
  const protection = protectionIn(attr);
  if (protection === 0) return 0;
  const written = setxattrText(dirfd, name, union.protattrXattr, formatProtection(protection));
  return written === -EOPNOTSUPP || written === -EPERM ? 0 : written;
}

/** Protects a file in the upper, or no longer. */
export function protect(union: Union, inode: Inode, protection: number): number {
  const dirfd = union.dirfdOf(inode);
  const name = union.nameOf(inode);
  const done =
    protection === 0
      ? removexattr(dirfd, name, union.protattrXattr)
      : setxattrText(dirfd, name, union.protattrXattr, formatProtection(protection));
  const isDone = done === 0 || (protection === 0 && (done === -ENODATA || done === -EOPNOTSUPP));
  if (isDone) inode.protection = protection;
  return isDone ? 0 : done;
}

/** -EPERM for a file of which neither attributes, xattrs nor names can be changed (may_setattr, may_write_xattr, vfs_link). */
export function refuseChange(union: Union, inode: Inode): number {
  return protectionOf(union, inode) === 0 ? 0 : -EPERM;
}

/** -EPERM for a directory that takes no further name (inode_permission). */
export function refuseEntry(union: Union, directory: Inode): number {
  return (protectionOf(union, directory) & PROTECTION.immutable) === 0 ? 0 : -EPERM;
}

/** -EPERM where a name cannot go, for its directory or for its file (may_delete). */
export function refuseDeparture(union: Union, directory: Inode, inode: Inode): number {
  return refuseChange(union, directory) || refuseChange(union, inode);
}

/** -EPERM for a file that is immutable, or append-only and about to be written elsewhere (may_open). */
export function refuseWrite(union: Union, inode: Inode, appends: boolean): number {
  const protection = protectionOf(union, inode);
  return protection === 0 || (protection === PROTECTION.append && appends) ? 0 : -EPERM;
}

/** -EPERM for a file that became immutable since it was opened, which takes no copy of a range (generic_copy_file_checks). */
export function refuseCopy(union: Union, inode: Inode): number {
  return (protectionOf(union, inode) & PROTECTION.immutable) === 0 ? 0 : -EPERM;
}

/** Gives a copy the flags that overlayfs copies up (OVL_COPY_FS_FLAGS_MASK); where it cannot have them, it is right without. */
export function copyFlags(from: number, to: number): void {
  addFlags(to, flagsOf(from) & (FS_SYNC | FS_NOATIME));
}

function flagsOf(fd: number): number {
  return ioctl(fd, FS_IOC_GETFLAGS, ioctlFlags.address) < 0 ? 0 : ioctlFlags.view.getUint32(0, true);
}

function addFlags(fd: number, added: number): void {
  if (added === 0) return;
  ioctlFlags.view.setUint32(0, flagsOf(fd) | added, true);
  ioctl(fd, FS_IOC_SETFLAGS, ioctlFlags.address);
}
