import { Attr } from '../../fs/sys/attr.ts';
import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import { AT_REMOVEDIR, S_IFDIR, S_IFMT } from '../../fs/sys/constants.ts';
import { readDirectory } from '../../fs/sys/directory.ts';
import { EACCES, ENOENT, SystemError } from '../../fs/sys/errno.ts';
import { close, statat, unlinkat } from '../../fs/sys/file.ts';
import { chmodat } from '../../fs/sys/metadata.ts';
import { openDirectory } from './directory-walker.ts';

const attr = new Attr();

/** Removes `name` in `dirfd` and all below it; follows no symlink, and is content where there is nothing. */
export function removeTree(dirfd: number, name: ByteString): void {
  const status = statat(dirfd, name, attr);
  if (status === -ENOENT) return;
  if (status < 0) throw failure(name, status);
  const isDirectory = (attr.mode & S_IFMT) === S_IFDIR;
  if (isDirectory) emptyDirectory(dirfd, name);
  unlink(dirfd, name, isDirectory ? AT_REMOVEDIR : 0);
}

function emptyDirectory(dirfd: number, name: ByteString): void {
  let fd = openDirectory(dirfd, name);
  if (fd === -EACCES) {
    // Without root's rights, a directory that is closed to its owner must be opened first.
    chmodat(dirfd, name, 0o700);
    fd = openDirectory(dirfd, name);
  }
  if (fd < 0) throw failure(name, fd);
  try {
    for (const child of listNames(fd, name)) removeTree(fd, child);
  } finally {
    close(fd);
  }
}

// All names first: readDirectory's buffer is one a thread, and the recursion reads directories too.
function listNames(fd: number, name: ByteString): ByteString[] {
  const names: ByteString[] = [];
  const status = readDirectory(fd, (child) => names.push(child));
  if (status < 0) throw failure(name, status);
  return names;
}

function unlink(dirfd: number, name: ByteString, flags: number): void {
  const status = unlinkat(dirfd, name, flags);
  if (status < 0 && status !== -ENOENT) throw failure(name, status);
}

function failure(name: ByteString, errno: number): SystemError {
  return new SystemError(`remove ${toText(name)}`, errno);
}
