import { type ByteString, toText } from '../sys/bytes.ts';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../sys/constants.ts';
import { EAGAIN, SystemError, check } from '../sys/errno.ts';
import { LOCK_EX, LOCK_NB, LOCK_SH, close, flock, openat } from '../sys/file.ts';

/** The lock that a mount of ours takes of its upper and of its workdir: while it is held here, no such mount begins. */
export class LayerLock {
  /** What has the lock instead, in words. */
  readonly heldBy: string | undefined;
  readonly #fd: number;

  /**
   * @param role `upperdir` or `workdir`.
   * @param exclusive for a repair.
   * @throws SystemError
   */
  constructor(role: string, path: ByteString, exclusive: boolean) {
    const text = toText(path);
    this.#fd = check(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open ${role} ${text}`);
    const locked = flock(this.#fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
    if (locked < 0 && locked !== -EAGAIN) {
      close(this.#fd);
      throw new SystemError(`lock ${role} ${text}`, locked);
    }
    this.heldBy = locked < 0 ? `a mount of lamina holds the ${role} ${text} (lamina mounts)` : undefined;
  }

  release(): void {
    close(this.#fd);
  }
}
