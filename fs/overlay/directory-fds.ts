import { LRUCache } from 'lru-cache';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH } from '../sys/constants.ts';
import { EIO, EMFILE, ENFILE } from '../sys/errno.ts';
import { close, openat } from '../sys/file.ts';
import { type RealDirectory } from './real-directory.ts';

const FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/** Descriptors asked for last that stay good. */
const IN_USE = 64;

/**
 * The bounded set of open directory descriptors. Every path inside a layer is walked one component at a time from the
 * layer's root, never following a symlink: nothing in a layer can lead out of it.
 */
export class DirectoryFds {
  readonly #cache: LRUCache<RealDirectory, number>;
  /** How often a descriptor is held. */
  readonly #holds = new Map<number, number>();
  /** Those held that are to be closed. */
  readonly #late = new Set<number>();

  /** @param max descriptors kept; several must be in use at once, so at least 64. */
  constructor(max: number) {
    this.#cache = new LRUCache<RealDirectory, number>({
      max: Math.max(max, IN_USE),
      dispose: (fd, directory) => {
        directory.fd = -1;
        if (this.#holds.has(fd)) this.#late.add(fd);
        else close(fd);
      },
    });
  }

  /** Descriptor of `directory`, good until 64 others have been asked for; or a negative errno. */
  fd(directory: RealDirectory): number {
    const { parent } = directory;
    if (parent === undefined) return directory.fd;
    if (directory.fd >= 0) {
      this.#cache.get(directory);
      return directory.fd;
    }
    const parentFd = this.fd(parent);
    if (parentFd < 0) return parentFd;
    let fd = openat(parentFd, directory.name, FLAGS);
    while ((fd === -EMFILE || fd === -ENFILE) && this.#cache.size > IN_USE) {
      this.#cache.pop();
      fd = openat(parentFd, directory.name, FLAGS);
    }
    // A network filesystem's ENETDOWN, or whatever a FUSE server likes to answer, is the number of our own directory.
    if (fd === AT_FDCWD) return -EIO;
    if (fd >= 0) {
      this.#cache.set(directory, fd);
      directory.fd = fd;
    }
    return fd;
  }

  /** As `fd`; good until it is released, for another thread. */
  hold(directory: RealDirectory): number {
    const fd = this.fd(directory);
    if (fd >= 0) this.#holds.set(fd, (this.#holds.get(fd) ?? 0) + 1);
    return fd;
  }

  release(fd: number): void {
    const left = (this.#holds.get(fd) ?? 1) - 1;
    if (left > 0) {
      this.#holds.set(fd, left);
      return;
    }
    this.#holds.delete(fd);
    if (this.#late.delete(fd)) close(fd);
  }

  /** Closes the descriptor of a directory that nothing will ask for again. */
  drop(directory: RealDirectory): void {
    if (directory.parent !== undefined) this.#cache.delete(directory);
  }

  clear(): void {
    this.#cache.clear();
  }
}
