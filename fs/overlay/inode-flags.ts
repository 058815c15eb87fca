import { DEFERRED } from '../filesystem.ts';
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
import { PENDING } from './slow-lane.ts';
import { type Union } from './union.ts';

// linux/fs.h: what lsattr, chattr and xfs_io ask for. The numbers carry the size of what they pass.
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const FS_IMMUTABLE = 0x10;
const FS_APPEND = 0x20;
const FS_XFLAG_IMMUTABLE = 0x8;
const FS_XFLAG_APPEND = 0x10;

/**
 * ioctls on a file's flags, passed on to the layer; all others mean nothing to a union.
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
    case FS_IOC_FSGETXATTR:
      return control(union, inode, fd, request, address);
    case FS_IOC_SETFLAGS:
    case FS_IOC_FSSETXATTR: {
      if (union.upper === undefined) return -EROFS;
      // A metacopy's open file is the one below, which is not to be changed.
      const raised = ensureUpper(union, inode) || ensureData(union, inode, ALL);
      if (raised < 0) return raised;
      if (open !== undefined && protects(request, address) && !isWrittenBack(union, open)) return DEFERRED;
      const changed = control(union, inode, fd, request, address);
      // The kernel does not expect a new ctime.
      if (changed >= 0) union.attributesChanged(inode);
      return changed;
    }
    default:
      return -ENOTTY;
  }
}

const given = new Memory(4);

/** Whether a change of flags makes the file immutable or append-only. */
function protects(request: number, address: number): boolean {
  copyBytes(given.address, address, given.size);
  const protection = request === FS_IOC_SETFLAGS ? FS_IMMUTABLE | FS_APPEND : FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND;
  return (given.view.getUint32(0, true) & protection) !== 0;
}

/**
 * Whether what was written through mappings has reached the layer, whose file will take no more; until then, the slow
 * lane sees to it. Filesystems do so themselves before they set such a flag (ext4_ioctl_setflags in fs/ext4/ioctl.c);
 * the kernel's FUSE leaves it to nobody.
 */
function isWrittenBack({ slowLane, notifier }: Union, open: Handle): boolean {
  if (slowLane === undefined || notifier === undefined) return true;
  if (open.writeBack !== undefined) {
    if (slowLane.take(open.writeBack.job) === PENDING) return false;
    open.writeBack = undefined;
    return true;
  }
  const notification = notifier.writeBack(open.inode.id);
  if (notification === undefined) return true;
  const { fd, memory } = notification;
  const job = slowLane.write(fd, memory.address, memory.size);
  if (job < 0) return true;
  open.writeBack = { notification, job };
  return false;
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
