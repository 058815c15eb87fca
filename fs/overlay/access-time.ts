import { O_ACCMODE, O_DIRECTORY, O_RDONLY, O_WRONLY } from '../sys/constants.ts';
import { readDirectory } from '../sys/directory.ts';
import { close, pread } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import { type Inode } from './inode.ts';
import { openReal } from './real-file.ts';
import { type Union } from './union.ts';

// The kernel keeps no atimes for FUSE (fuse_init_inode sets S_NOATIME), and answers reads out of its page cache without
// asking. Where the mount is to keep them, opening a file to read it counts as the access. It is made a real one, since
// utimensat(2) would change the ctime; whether it changes the atime is for the upper's own mount to say (relatime).

const byte = new Memory(8);
const ignore = (): void => undefined;

/** Notes that a file was opened as `fd`; lower layers keep their atimes, as in overlayfs. */
export function noteAccess(union: Union, inode: Inode, fd: number, flags: number): void {
  if (union.options.atime !== true || (flags & O_ACCMODE) === O_WRONLY || !inode.isUpper) return;
  if (pread(fd, byte.address, 1, 0) >= 0) union.attributesChanged(inode);
}

/** The same for a directory, whose entries come from the union's own index. */
export function noteDirectoryAccess(union: Union, inode: Inode): void {
  if (union.options.atime !== true || union.options.directoryAtime === false || inode.upper === undefined) return;
  const fd = openReal(union.fds.fd(inode.upper), '.', O_RDONLY | O_DIRECTORY);
  if (fd < 0) return;
  if (readDirectory(fd, ignore) >= 0) union.attributesChanged(inode);
  close(fd);
}
