import { type ByteString } from '../sys/bytes.ts';
import { AT_REMOVEDIR, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../sys/constants.ts';
import { readDirectory } from '../sys/directory.ts';
import { EISDIR, ENOENT, ENOTDIR } from '../sys/errno.ts';
import { close, openat, unlinkat } from '../sys/file.ts';

/**
 * Removes `name` in `dirfd` and all below it, following no symlink. Answers 0 (also where there is nothing) or a
 * negative errno; what could be removed is then gone.
 */
export function removeTree(dirfd: number, name: ByteString): number {
  const unlinked = unlinkat(dirfd, name);
  if (unlinked === 0 || unlinked === -ENOENT) return 0;
  if (unlinked !== -EISDIR) return unlinked;
  const emptied = removeContents(dirfd, name);
  return emptied < 0 ? emptied : unlinkat(dirfd, name, AT_REMOVEDIR);
}

/** Removes everything in the directory `name`, which stays. */
export function removeContents(dirfd: number, name: ByteString): number {
  const fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fd === -ENOTDIR ? 0 : fd;
  const names: ByteString[] = [];
  let outcome = readDirectory(fd, (entry) => names.push(entry));
  for (const entry of names) {
    const removed = removeTree(fd, entry);
    if (removed < 0) outcome = removed;
  }
  close(fd);
  return outcome;
}
