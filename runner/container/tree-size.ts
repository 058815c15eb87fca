import { Attr } from '../../fs/sys/attr.ts';
import { type ByteString, toBytes } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFDIR, S_IFMT, S_IFREG } from '../../fs/sys/constants.ts';
import { readDirectory } from '../../fs/sys/directory.ts';
import { close, openat, statat } from '../../fs/sys/file.ts';

const FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
const attr = new Attr();

/** Bytes of all files below a directory, each counted once. What cannot be read, or goes meanwhile, counts nothing. */
export function treeSize(path: string): number {
  return sizeIn(-1, toBytes(path), new Set());
}

function sizeIn(dirfd: number, name: ByteString, counted: Set<number>): number {
  const fd = openat(dirfd, name, FLAGS);
  if (fd < 0) return 0;
  try {
    const names: ByteString[] = [];
    readDirectory(fd, (entry) => names.push(entry));
    return names.reduce((sum, entry) => sum + sizeOf(fd, entry, counted), 0);
  } finally {
    close(fd);
  }
}

function sizeOf(dirfd: number, name: ByteString, counted: Set<number>): number {
  if (statat(dirfd, name, attr) < 0) return 0;
  const type = attr.mode & S_IFMT;
  if (type === S_IFDIR) return sizeIn(dirfd, name, counted);
  if (type !== S_IFREG || (attr.nlink > 1 && counted.has(attr.ino))) return 0;
  if (attr.nlink > 1) counted.add(attr.ino);
  return attr.size;
}
