import { WRITE } from '../filesystem.ts';
import { O_DIRECT, O_NONBLOCK, O_RDONLY, O_WRONLY } from '../sys/constants.ts';
import { EINVAL } from '../sys/errno.ts';
import { close, pread, pwrite } from '../sys/file.ts';
import { type FileOffset } from '../sys/file-offset.ts';
import { openData } from './metacopy.ts';
import { type OpenFile } from './open-file.ts';
import { type Union } from './union.ts';

// A descriptor with O_DIRECT takes whole blocks alone. The page cache writes to the byte where a file ends, through
// whichever handle it finds, and the dirty page of a mapping must not be lost for that; and fcntl(2) takes O_DIRECT away
// without our hearing of it before the next request.

/** Writes through an open file; answers the bytes written. */
export function writeData(
  union: Union,
  file: OpenFile,
  offset: FileOffset,
  size: number,
  address: number,
  flags: number,
): number {
  const written = pwrite(file.fd, address, size, offset);
  if (written !== -EINVAL || (flags & WRITE.buffered) === 0 || (file.flags & O_DIRECT) === 0) return written;
  const fd = openData(union, file.inode, O_WRONLY | O_NONBLOCK);
  if (fd < 0) return fd;
  const buffered = pwrite(fd, address, size, offset);
  close(fd);
  return buffered;
}

/** Reads through an open file; answers the bytes read. */
export function readData(
  union: Union,
  file: OpenFile,
  offset: FileOffset,
  size: number,
  address: number,
  buffered: boolean,
): number {
  const length = pread(file.fd, address, size, offset);
  if (length !== -EINVAL || !buffered || (file.flags & O_DIRECT) === 0) return length;
  const fd = openData(union, file.inode, O_RDONLY | O_NONBLOCK);
  if (fd < 0) return fd;
  const read = pread(fd, address, size, offset);
  close(fd);
  return read;
}

/** The descriptor to read an open file's data from, but where that takes several tries. */
export function fileToRead(handle: OpenFile, buffered: boolean): number {
  return buffered && (handle.flags & O_DIRECT) !== 0 ? -EINVAL : handle.fd;
}
