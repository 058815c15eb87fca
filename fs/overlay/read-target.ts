import { O_NONBLOCK, O_RDONLY } from '../sys/constants.ts';
import { EINVAL, EIO } from '../sys/errno.ts';
import { close, pread, readlinkat } from '../sys/file.ts';
import { readIndexedTarget } from './indexed-layer.ts';
import { type Inode } from './inode.ts';
import { openForReading } from './real-file.ts';
import { NO_OVERRIDE } from './stat-override.ts';
import { type Union } from './union.ts';

/** Writes a symlink's target at `address`; answers its length. */
export function readTarget(union: Union, inode: Inode, address: number, size: number): number {
  const known = readIndexedTarget(inode, address, size);
  if (known > 0) return known;
  const dirfd = union.dirfdOf(inode);
  const name = union.nameOf(inode);
  const length = readlinkat(dirfd, name, address, size);
  const layer = union.layerOf(inode);
  if (length !== -EINVAL || layer === undefined || layer.override === NO_OVERRIDE) return length;
  // A regular file that stands for a symlink has the target in it.
  const fd = openForReading(layer, dirfd, name, O_RDONLY | O_NONBLOCK);
  if (fd < 0) return fd;
  const read = pread(fd, address, size, 0);
  close(fd);
  return read === 0 ? -EIO : read;
}
