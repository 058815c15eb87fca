import { O_CLOEXEC } from '../sys/constants.ts';
import { EMFILE } from '../sys/errno.ts';
import { close, dup3 } from '../sys/file.ts';
import { SHARED } from './handle.ts';
import { type Inode } from './inode.ts';
import { type Layer } from './layer.ts';
import { dataMoved } from './passthrough.ts';
import { openForReading } from './real-file.ts';
import { type Union } from './union.ts';

/**
 * After the data moved to the upper: files that were open before see what is written after, but for those that the
 * kernel reads by itself; their descriptors get the copy under the same number.
 */
export function reopenHandles(union: Union, inode: Inode): void {
  const { upper } = union;
  if (upper === undefined) return;
  dataMoved(union, inode);
  union.residents.drop(inode);
  for (let handle = inode.handles; handle !== undefined; handle = handle.next) {
    let fd = openAgain(union, upper, inode, handle.flags);
    if (fd === -EMFILE) {
      union.fds.clear();
      fd = openAgain(union, upper, inode, handle.flags);
    }
    if (fd < 0) continue;
    if (handle.fd === SHARED) {
      // Its name may go while it is open.
      handle.fd = fd;
      continue;
    }
    // O_DIRECT, too, goes with the descriptor that takes the number over.
    dup3(fd, handle.fd, O_CLOEXEC);
    close(fd);
  }
}

function openAgain(union: Union, upper: Layer, inode: Inode, flags: number): number {
  return openForReading(upper, union.dirfdOf(inode), union.nameOf(inode), flags);
}
