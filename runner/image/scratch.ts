import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';

import { toBytes } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { type Lock, tryLock, withLock } from './lock.ts';
import { removeTree } from '../../fs/sys/remove-tree.ts';

const LOCK_SUFFIX = '.lock';

/** A directory of one process in the store, for what is not whole yet. Its lock tells others that the process lives. */
export class Scratch {
  readonly #directory: string;
  readonly #name: string;
  readonly #lock: Lock;
  #files = 0;
  #removed = false;

  /**
   * @param directory the store's `tmp`.
   * @param storeLock held while the directory and its lock come to be, so that nobody takes them for left over.
   */
  constructor(directory: string, storeLock: string) {
    const name = randomBytes(12).toString('hex');
    this.#directory = directory;
    this.#name = name;
    this.#lock = withLock(storeLock, () => {
      const lock = tryLock(join(directory, name + LOCK_SUFFIX));
      if (lock === undefined) throw new Error(`cannot lock ${join(directory, name)}`);
      mkdirSync(join(directory, name), { mode: 0o700 });
      return lock;
    });
  }

  /** A path in the directory that nothing has yet. */
  next(): string {
    this.#files += 1;
    return join(this.#directory, this.#name, String(this.#files));
  }

  /** Removes what is at a path that `next` gave. */
  discard(path: string): void {
    removeIn(join(this.#directory, this.#name), basename(path));
  }

  /** Removes it with all that is still in it. */
  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    removeScratch(this.#directory, this.#name);
    this.#lock.release();
  }
}

function removeScratch(directory: string, name: string): void {
  removeIn(directory, name);
  removeIn(directory, name + LOCK_SUFFIX);
}

/** Removes `name` in `directory` with all below it, whatever bytes the names in there are. */
export function removeIn(directory: string, name: string): void {
  const fd = check(openat(-1, toBytes(directory), O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open directory ${directory}`);
  try {
    removeTree(fd, toBytes(name));
  } finally {
    close(fd);
  }
}

/** Removes what processes that are no more have left in the store's `tmp`. */
export function removeLeftovers(directory: string, storeLock: string): void {
  if (readdirSync(directory).length === 0) return;
  // Found under the store's lock, for a scratch directory in the making is not locked yet; removed without it.
  for (const [name, lock] of withLock(storeLock, () => findDead(directory))) {
    removeScratch(directory, name);
    lock.release();
  }
}

function findDead(directory: string): [string, Lock][] {
  const dead: [string, Lock][] = [];
  const names = new Set(readdirSync(directory).map((name) => name.replace(LOCK_SUFFIX, '')));
  for (const name of names) {
    const lock = tryLock(join(directory, name + LOCK_SUFFIX));
    if (lock !== undefined) dead.push([name, lock]);
  }
  return dead;
}
