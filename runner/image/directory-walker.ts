import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFLNK, S_IFMT } from '../../fs/sys/constants.ts';
import { check, ENOENT, ENOTDIR, ELOOP, SystemError } from '../../fs/sys/errno.ts';
import { close, mkdirat, openat, statat } from '../../fs/sys/file.ts';

const OPEN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/** Opens the directory `name` in `dirfd`, never through a symlink; a negative errno where that fails. */
export function openDirectory(dirfd: number, name: ByteString): number {
  return openat(dirfd, name, OPEN_DIRECTORY);
}

/** A path leads through something that is no directory. */
export class ObstructedPathError extends Error {
  override readonly name = 'ObstructedPathError';
}

const attr = new Attr();

/**
 * Walks a tree that hostile input shapes: one component at a time from directory fds, through no symlink, so nothing
 * in the tree, whenever it came there, can lead a step outside. It keeps the directories of its last path open, since
 * an archive's entries come in the order of the tree.
 */
export class DirectoryWalker {
  readonly #names: ByteString[] = [];
  readonly #fds: number[];

  /** @param root an open directory, which stays the caller's. */
  constructor(root: number) {
    this.#fds = [root];
  }

  /**
   * An fd of the directory at `path`, good until the next call. The caller closes it never.
   *
   * @param imply called for every directory that had to be made, once it is there.
   */
  open(path: readonly ByteString[], imply?: (path: readonly ByteString[]) => void): number {
    this.#leave(this.#sharedDepth(path));
    for (let depth = this.#names.length; depth < path.length; depth++) {
      this.#enter(path, depth, imply);
    }
    return this.#top;
  }

  get #top(): number {
    // The root is always there.
    return this.#fds.at(-1) ?? -1;
  }

  #sharedDepth(path: readonly ByteString[]): number {
    let depth = 0;
    while (depth < this.#names.length && depth < path.length && this.#names[depth] === path[depth]) depth += 1;
    return depth;
  }

  #enter(path: readonly ByteString[], depth: number, imply?: (path: readonly ByteString[]) => void): void {
    const name = path[depth] ?? '';
    const parent = this.#top;
    let fd = openDirectory(parent, name);
    const here = path.slice(0, depth + 1);
    if (fd === -ENOENT && imply !== undefined) {
      check(mkdirat(parent, name, 0o700), `make directory ${toText(here.join('/'))}`);
      fd = openDirectory(parent, name);
      imply(here);
    }
    if (fd < 0) throw describeFailure(parent, here, fd);
    this.#names.push(name);
    this.#fds.push(fd);
  }

  #leave(depth: number): void {
    while (this.#names.length > depth) {
      this.#names.pop();
      close(this.#fds.pop() ?? -1);
    }
  }

  /** Closes what the walk holds open; the walker can be used on. */
  close(): void {
    this.#leave(0);
  }
}

function describeFailure(parent: number, path: readonly ByteString[], errno: number): Error {
  const shown = JSON.stringify(toText(path.join('/')));
  if (errno !== -ENOTDIR && errno !== -ELOOP) return new SystemError(`open directory ${shown}`, errno);
  const isLink = statat(parent, path.at(-1) ?? '', attr) === 0 && (attr.mode & S_IFMT) === S_IFLNK;
  return new ObstructedPathError(
    isLink ? `it goes through the symlink ${shown}` : `it goes through ${shown}, which is no directory`,
  );
}
