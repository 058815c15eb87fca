import { O_CLOEXEC, O_DIRECTORY, O_NONBLOCK, O_RDONLY } from '../sys/constants.ts';
import { ENOTTY, EROFS } from '../sys/errno.ts';
import { close, ioctl, openat } from '../sys/file.ts';
import { Memory, copyBytes } from '../sys/memory.ts';
import { ALL } from './copy-limit.ts';
import { ensureUpper } from './copy-up.ts';
import { type Handle } from './handle.ts';
import { type Inode } from './inode.ts';
import { ensureData } from './metacopy.ts';
import { openReal } from './real-file.ts';
import { PROTECTION, protect, protectionOf } from './protection.ts';
import { type Union } from './union.ts';

// linux/fs.h: what lsattr, chattr and xfs_io ask for. The numbers carry the size of what they pass.
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const FLAGS = { immutable: 0x10, append: 0x20 } as const;
const XFLAGS = { immutable: 0x8, append: 0x10 } as const;

/**
 * ioctls on a file's flags, passed on to the layer but for those that protect a file; all others mean nothing to a union.
 *
 * @param open the open file; undefined for a directory, which is opened here.
 * @param address of the request's data, where the answer goes, too.
 */
export function controlInode(
  union: Union,
  inode: Inode,
  open: Handle | undefined,
  request: number,
  address: number,
): number {
  const fd = open?.fd ?? -1;
  switch (request) {
    case FS_IOC_GETFLAGS:
    case FS_IOC_FSGETXATTR: {
      const done = control(union, inode, fd, request, address);
      if (done >= 0) showProtection(request, address, protectionOf(union, inode));
      return done;
    }
    case FS_IOC_SETFLAGS:
    case FS_IOC_FSSETXATTR: {
      if (union.upper === undefined) return -EROFS;
      // A metacopy's open file is the one below, which is not to be changed.
      const raised = ensureUpper(union, inode) || ensureData(union, inode, ALL);
      if (raised < 0) return raised;
      const changed = setFlags(union, inode, fd, request, address);
      // The kernel does not expect a new ctime.
      if (changed >= 0) union.attributesChanged(inode);
      return changed;
    }
    default:
      return -ENOTTY;
  }
}

const flags = new Memory(4);

function protectionBits(request: number): { immutable: number; append: number } {
  return request === FS_IOC_GETFLAGS || request === FS_IOC_SETFLAGS ? FLAGS : XFLAGS;
}

function showProtection(request: number, address: number, protection: number): void {
  const { immutable, append } = protectionBits(request);
  copyBytes(flags.address, address, flags.size);
  let shown = flags.view.getUint32(0, true);
  if ((protection & PROTECTION.immutable) !== 0) shown |= immutable;
  if ((protection & PROTECTION.append) !== 0) shown |= append;
  flags.view.setUint32(0, shown >>> 0, true);
  copyBytes(address, flags.address, flags.size);
}

/**
 * What protects the file becomes our mark. What protected it in the upper's own filesystem goes, and goes first, since that
 * would take no mark (ovl_fileattr_set).
 */
function setFlags(union: Union, inode: Inode, fd: number, request: number, address: number): number {
  const { immutable, append } = protectionBits(request);
  copyBytes(flags.address, address, flags.size);
  const given = flags.view.getUint32(0, true);
  const protection =
    ((given & immutable) === 0 ? 0 : PROTECTION.immutable) | ((given & append) === 0 ? 0 : PROTECTION.append);
  flags.view.setUint32(0, (given & ~(immutable | append)) >>> 0, true);
  copyBytes(address, flags.address, flags.size);
  const before = protectionOf(union, inode);
  const changed = control(union, inode, fd, request, address);
  if (changed < 0 || (before | protection) === 0) return changed;
  return Math.min(protect(union, inode, protection), changed);
}

function control(union: Union, inode: Inode, fd: number, request: number, address: number): number {
  if (fd >= 0) return ioctl(fd, request, address);
  const dirfd = union.dirfdOf(inode);
  const opened = inode.isDirectory
    ? openat(dirfd, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    : openReal(dirfd, union.nameOf(inode), O_RDONLY | O_NONBLOCK);
  if (opened < 0) return opened;
  const done = ioctl(opened, request, address);
  close(opened);
  return done;
}
