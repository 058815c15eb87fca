import { WRITE } from '../filesystem.ts';
import { O_DIRECT, O_NONBLOCK, O_WRONLY } from '../sys/constants.ts';
import { EINVAL } from '../sys/errno.ts';
import { close, pwrite } from '../sys/file.ts';
import { type FileOffset } from '../sys/file-offset.ts';
import { type Handle } from './handle.ts';
import { openReal } from './real-file.ts';
import { type Union } from './union.ts';

/** Writes through an open file; answers the bytes written. */
export function writeData(
  union: Union,
  handle: Handle,
  offset: FileOffset,
  size: number,
  address: number,
  flags: number,
): number {
  const written = pwrite(handle.fd, address, size, offset);
  if (written !== -EINVAL || (flags & WRITE.fromCache) === 0 || (handle.flags & O_DIRECT) === 0) return written;
  return writeBuffered(union, handle, offset, size, address);
}

/**
 * The page cache writes to the byte where a file ends, through whichever handle it finds: one with O_DIRECT takes whole
 * blocks alone. The dirty page of a mapping must not be lost for that.
 */
function writeBuffered(union: Union, handle: Handle, offset: FileOffset, size: number, address: number): number {
  const { inode } = handle;
  const fd = openReal(union.dirfdOf(inode), union.nameOf(inode), O_WRONLY | O_NONBLOCK);
  if (fd < 0) return fd;
  const written = pwrite(fd, address, size, offset);
  close(fd);
  return written;
}
