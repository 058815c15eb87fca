import { type Opened } from '../filesystem.ts';
import { O_ACCMODE, O_APPEND, O_DIRECT, O_NONBLOCK, O_RDONLY, O_TRUNC, S_IFREG } from '../sys/constants.ts';
import { EISDIR, ENXIO, EPERM, EROFS, ESTALE } from '../sys/errno.ts';
import { close } from '../sys/file.ts';
import { noteAccess } from './access-time.ts';
import { ALL } from './copy-limit.ts';
import { isAsIndexed } from './indexed-layer.ts';
import { giveContent } from './give-content.ts';
import { SHARED, WAY } from './handle.ts';
import { type Inode } from './inode.ts';
import { openData } from './metacopy.ts';
import { mustRenumber, passThrough } from './passthrough.ts';
import { refuseWrite } from './protection.ts';
import { raiseForWriting } from './raise.ts';
import { openReader } from './resident-files.ts';
import { type Union } from './union.ts';

/**
 * Opens a regular file; for writing, it is copied up first, without its data where that goes at once (O_TRUNC).
 *
 * ESTALE: nothing was done, and the kernel is to look the name up again.
 */
export function openInode(union: Union, inode: Inode, flags: number, opened: Opened): number {
  if (inode.isDirectory) return -EISDIR;
  // The kernel opens devices, fifos and sockets itself.
  if (inode.type !== S_IFREG) return -ENXIO;
  const access = flags & O_ACCMODE;
  const truncates = (flags & O_TRUNC) !== 0;
  if (access !== O_RDONLY || truncates) {
    if (union.upper === undefined) return -EROFS;
    const refused = refuseWrite(union, inode, (flags & O_APPEND) !== 0 && !truncates);
    if (refused < 0) return refused;
    if (mustRenumber(inode)) {
      union.inodes.renumber(inode);
      return -ESTALE;
    }
    const raised = raiseForWriting(union, inode, truncates ? 0 : ALL);
    if (raised < 0) return raised;
  }
  if (isShared(union, inode, flags)) return openShared(union, inode, flags, opened);
  let kept = access | (flags & O_DIRECT);
  let fd = openData(union, inode, kept | (truncates ? O_TRUNC : 0) | O_NONBLOCK);
  if (fd === -EPERM && !truncates && (flags & O_APPEND) !== 0) {
    // Append-only in the upper's own filesystem, not by our mark; for all others the kernel has the end's offset in each request.
    kept |= O_APPEND;
    fd = openData(union, inode, kept | O_NONBLOCK);
  }
  if (fd < 0) return fd;
  if (!isAsIndexed(inode, fd)) {
    close(fd);
    union.attributesChanged(inode);
    // Has the kernel look the path up again.
    return -ESTALE;
  }
  noteAccess(union, inode, fd, kept);
  const way = passThrough(union, inode, fd, flags, opened);
  opened.handle = union.handles.open(inode, fd, kept, way);
  return 0;
}

/** A file of a lower layer, which nobody but us can remove or change, need not be opened for each who reads it. */
function isShared(union: Union, inode: Inode, flags: number): boolean {
  const reads = (flags & (O_ACCMODE | O_TRUNC | O_DIRECT)) === O_RDONLY;
  return reads && !inode.isUpper && union.isSoleWriter;
}

/** Programs and libraries are opened again and again: the second time costs no system call. */
function openShared(union: Union, inode: Inode, flags: number, opened: Opened): number {
  const reader = openReader(union, inode);
  if (typeof reader === 'number') return reader;
  const way = passThrough(union, inode, reader.fd, flags, opened);
  if (way === WAY.caching && opened.keepCache) giveContent(union, inode, reader.fd);
  opened.handle = union.handles.open(inode, SHARED, O_RDONLY, way);
  return 0;
}
