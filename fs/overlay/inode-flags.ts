import { O_CLOEXEC, O_DIRECTORY, O_NONBLOCK, O_RDONLY } from '../sys/constants.ts';
import { ENOTTY, EROFS } from '../sys/errno.ts';
import { close, ioctl, openat } from '../sys/file.ts';
import { ALL } from './copy-limit.ts';
import { ensureUpper } from './copy-up.ts';
import { type Inode } from './inode.ts';
import { ensureData } from './metacopy.ts';
import { openReal } from './real-file.ts';
import { type Union } from './union.ts';

// linux/fs.h: what lsattr, chattr and xfs_io ask for. The numbers carry the size of what they pass.
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;

/**
 * ioctls on a file's flags, passed on to the layer; all others mean nothing to a union.
 *
 * @param fd of the open file; -1 for a directory, which is opened here.
 * @param address of the request's data, where the answer goes, too.
 */
export function controlInode(union: Union, inode: Inode, fd: number, request: number, address: number): number {
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
      const changed = control(union, inode, fd, request, address);
      // The kernel does not expect a new ctime.
      if (changed >= 0) union.attributesChanged(inode);
      return changed;
    }
    default:
      return -ENOTTY;
  }
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
