import { type Opened } from '../filesystem.ts';
import { O_ACCMODE, O_NONBLOCK, O_RDONLY, O_TRUNC, S_IFREG } from '../sys/constants.ts';
import { EIO, EISDIR, ENXIO, EROFS } from '../sys/errno.ts';
import { ALL, ensureUpper } from './copy-up.ts';
import { type Inode } from './inode.ts';
import { openForReading } from './real-file.ts';
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
    const raised = ensureUpper(union, inode, truncates ? 0 : ALL);
    if (raised < 0) return raised;
  }
  const layer = union.layerOf(inode);
  if (layer === undefined) return -EIO;
  const openFlags = access | (truncates ? O_TRUNC : 0) | O_NONBLOCK;
  const fd = openForReading(layer, union.dirfdOf(inode), union.nameOf(inode), openFlags);
  if (fd < 0) return fd;
  opened.handle = union.handles.open(inode, fd, access);
  opened.keepCache = true;
  opened.directIo = false;
  return 0;
}
