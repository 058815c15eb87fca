import { LRUCache } from 'lru-cache';
import { type Passthrough } from '../filesystem.ts';
import { type Inode } from './inode.ts';

/** Files of read-only layers that stay registered after they were closed. Each is an open file of the kernel's. */
const REMEMBERED = 1024;

/**
 * The layers' files that the kernel reads and writes by itself (`Inode.backing`).
 *
 * Those of read-only layers stay registered when nobody has them open, the last ones used: to register one and take it
 * back are two system calls of each open, and a program's text is opened again and again.
 *
 * Invariant: a backing is taken back when its inode goes, when its data moves, or when it is neither open nor remembered.
 */
export class Backings {
  /** Undefined where the kernel has none, or no more. */
  passthrough: Passthrough | undefined = undefined;
  /** Whether the upper's filesystem tells who has a file open for writing. */
  tellsWriters = true;
  readonly #remembered = new LRUCache<Inode, true>({
    max: REMEMBERED,
    dispose: (_, inode, reason) => {
      if (reason === 'evict' && inode.passing === 0) this.end(inode);
    },
  });

  /** After it was registered, or opened again by it. */
  remember(inode: Inode): void {
    if (this.#remembered.get(inode) === undefined) this.#remembered.set(inode, true);
  }

  /** After the last one who had it open through its backing closed it. */
  rest(inode: Inode): void {
    if (inode.backing !== 0 && !this.#remembered.has(inode)) this.end(inode);
  }

  /** Files that are open by it stay so. */
  end(inode: Inode): void {
    if (inode.backing === 0) return;
    this.passthrough?.unregister(inode.backing);
    inode.backing = 0;
    this.#remembered.delete(inode);
  }
}
