import { type Opened } from '../filesystem.ts';
import { O_ACCMODE, O_DIRECT, O_NONBLOCK, O_RDONLY, O_TRUNC, S_IFREG } from '../sys/constants.ts';
import { EISDIR, ENXIO, EROFS } from '../sys/errno.ts';
import { ALL } from './copy-limit.ts';
import { ensureUpper } from './copy-up.ts';
import { type Inode } from './inode.ts';
import { ensureData, openData } from './metacopy.ts';
import { type Union } from './union.ts';

/** Opens a regular file; for writing, it is copied up first, without its data where that goes at once (O_TRUNC). */
export function openInode(union: Union, inode: Inode, flags: number, opened: Opened): number {
  if (inode.isDirectory) return -EISDIR;
  // The kernel opens devices, fifos and sockets itself.
  if (inode.type !== S_IFREG) return -ENXIO;
  const access = flags & O_ACCMODE;
  const truncates = (flags & O_TRUNC) !== 0;
  if (access !== O_RDONLY || truncates) {
    if (union.upper === undefined) return -EROFS;
    const limit = truncates ? 0 : ALL;
    const raised = ensureUpper(union, inode, limit) || ensureData(union, inode, limit);
    if (raised < 0) return raised;
  }
  const kept = access | (flags & O_DIRECT);
  const fd = openData(union, inode, kept | (truncates ? O_TRUNC : 0) | O_NONBLOCK);
  if (fd < 0) return fd;
  opened.handle = union.handles.open(inode, fd, kept);
  return 0;
}
