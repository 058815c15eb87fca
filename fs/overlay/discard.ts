import { type ByteString } from '../sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../sys/constants.ts';
import { readDirectory } from '../sys/directory.ts';
import { check, SystemError } from '../sys/errno.ts';
import { close, openat } from '../sys/file.ts';
import { removeTree } from '../sys/remove-tree.ts';

/** Removes what nobody can see any more, as far as that goes: what is left is removed at the next mount. */
export function discard(dirfd: number, name: ByteString): void {
  try {
    removeTree(dirfd, name);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  }
}

/** Removes everything in the directory `name`, which stays, but for the entry `kept`; answers 0 or a negative errno. */
export function clear(dirfd: number, name: ByteString, kept?: ByteString): number {
  const fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fd;
  try {
    const names: ByteString[] = [];
    check(
      readDirectory(fd, (entry) => names.push(entry)),
      `read ${name}`,
    );
    for (const entry of names) if (entry !== kept) removeTree(fd, entry);
    return 0;
  } catch (error) {
    if (error instanceof SystemError) return -error.errno;
    throw error;
  } finally {
    close(fd);
  }
}
