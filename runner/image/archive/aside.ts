import { randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, mkdirSync, openSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { EAGAIN } from '../../../fs/sys/errno.ts';
import { flock, LOCK_EX, LOCK_NB } from '../../../fs/sys/file.ts';
import { removeIn } from '../scratch.ts';

const NAME = /^\.lamina-[0-9a-f]{16}$/;
const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** A name beside an output, for what is not whole yet. */
export function asideName(): string {
  return `.lamina-${randomBytes(8).toString('hex')}`;
}

/**
 * Marks an open file or directory as being written, until it is closed or its writer is no more. Where a filesystem has
 * no such locks it stays unmarked, and what a killed writer leaves is not swept.
 *
 * @returns false where another process has it: one that sweeps.
 */
export function markAside(fd: number): boolean {
  return flock(fd, LOCK_EX | LOCK_NB) !== -EAGAIN;
}

/** A marked directory of a name of its own; who asks for it closes it. */
export function makeAside(parent: string): { readonly name: string; readonly fd: number } {
  for (;;) {
    const name = asideName();
    const path = join(parent, name);
    mkdirSync(path);
    const fd = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    // Before it is marked, it looks like one that was left.
    if (markAside(fd) && isAt(fd, path)) return { name, fd };
    closeSync(fd);
  }
}

/** Whether a path still is what is open. */
export function isAt(fd: number, path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino;
}

/** Removes what killed writers of this user have left in a directory. */
export function sweepAsides(parent: string): void {
  for (const name of readdirSync(parent)) if (NAME.test(name)) sweep(parent, name);
}

function sweep(parent: string, name: string): void {
  let fd: number;
  try {
    fd = openSync(join(parent, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    // Gone meanwhile, or another's.
    return;
  }
  try {
    const isOurs = fstatSync(fd).uid === process.geteuid?.();
    if (isOurs && flock(fd, LOCK_EX | LOCK_NB) === 0) removeIn(parent, name);
  } catch {
    // Another sweeps it, too, or it cannot be removed: no reason to fail what is not about it.
  } finally {
    closeSync(fd);
  }
}
