import { type ByteString, toText } from './bytes.ts';
import { AT_REMOVEDIR, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, RENAME_NOREPLACE } from './constants.ts';
import { readDirectory } from './directory.ts';
import { EACCES, EEXIST, EISDIR, ENOENT, EPERM, check } from './errno.ts';
import { close, openat, renameat2, unlinkat } from './file.ts';
import { chmodat } from './metadata.ts';

// Deeper than this a directory is moved to the top and removed from there: a tree of any depth takes a bounded stack
// and a bounded number of descriptors, whoever made it.
const MAX_DEPTH = 100;

const OPEN = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/**
 * Removes `name` in `dirfd` and all below it, following no symlink; content where there is nothing.
 *
 * @throws SystemError
 */
export function removeTree(dirfd: number, name: ByteString): void {
  if (!isDirectoryLeft(dirfd, name)) return;
  const top = openForRemoval(dirfd, name);
  try {
    new TreeRemoval(top).run();
  } finally {
    close(top);
  }
  removeDirectory(dirfd, name);
}

class TreeRemoval {
  readonly #top: number;
  /** Directories moved to the top so far. */
  #moved = 0;

  constructor(top: number) {
    this.#top = top;
  }

  run(): void {
    let before: number;
    do {
      before = this.#moved;
      this.#empty(this.#top, 0);
    } while (this.#moved !== before);
  }

  #empty(directory: number, depth: number): void {
    for (const name of namesOf(directory)) {
      if (!isDirectoryLeft(directory, name)) continue;
      if (depth >= MAX_DEPTH) {
        this.#moveUp(directory, name);
        continue;
      }
      const child = openForRemoval(directory, name);
      try {
        this.#empty(child, depth + 1);
      } finally {
        close(child);
      }
      removeDirectory(directory, name);
    }
  }

  #moveUp(directory: number, name: ByteString): void {
    let moved: number;
    do {
      this.#moved += 1;
      moved = renameat2(directory, name, this.#top, `.removing-${this.#moved}`, RENAME_NOREPLACE);
    } while (moved === -EEXIST);
    check(moved, `move ${toText(name)}, to remove it`);
  }
}

/** Removes what is no directory; answers whether there is a directory, which remains. */
function isDirectoryLeft(dirfd: number, name: ByteString): boolean {
  const removed = unlinkat(dirfd, name);
  if (removed === 0 || removed === -ENOENT) return false;
  if (removed === -EISDIR) return true;
  // POSIX's errno for a directory, and that of a file which may not be removed.
  if (removed === -EPERM) {
    const fd = openat(dirfd, name, OPEN);
    if (fd >= 0) close(fd);
    if (fd >= 0 || fd === -EACCES) return true;
  }
  check(removed, `remove ${toText(name)}`);
  return false;
}

function openForRemoval(dirfd: number, name: ByteString): number {
  let fd = openat(dirfd, name, OPEN);
  if (fd === -EACCES) {
    // Without root's rights, a directory that is closed to its owner must be opened first.
    chmodat(dirfd, name, 0o700);
    fd = openat(dirfd, name, OPEN);
  }
  return check(fd, `open directory ${toText(name)}, to remove it`);
}

// All names first: readDirectory's buffer is one a thread.
function namesOf(directory: number): ByteString[] {
  const names: ByteString[] = [];
  const fresh = check(openat(directory, '.', OPEN), 'open a directory, to remove it');
  const status = readDirectory(fresh, (name) => names.push(name));
  close(fresh);
  check(status, 'read a directory, to remove it');
  return names;
}

function removeDirectory(dirfd: number, name: ByteString): void {
  const removed = unlinkat(dirfd, name, AT_REMOVEDIR);
  if (removed !== -ENOENT) check(removed, `remove directory ${toText(name)}`);
}
