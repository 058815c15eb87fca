import { cstring, libcCalls as libc } from './libc.ts';
import { TAKES_NAME_BACK } from './remarks.ts';
import { statusOf } from './status.ts';
import { asRoot, outcomeOf, Remark, type World } from './world.ts';

const DELETED = ' (deleted)';

const buffer = Buffer.alloc(4_096);

/** Where the upper would have an open file that has lost its name; undefined where it has one. */
function formerPlace(world: World, fd: number): Buffer | undefined {
  const length = libc.readlink(cstring(`/proc/self/fd/${fd}`), buffer, buffer.length);
  const path = buffer.toString('latin1', 0, length);
  const upper = path.endsWith(DELETED) ? world.inUpper(path.slice(0, -DELETED.length)) : undefined;
  return upper === undefined ? undefined : cstring(upper);
}

function inoOf(path: Buffer): string {
  return outcomeOf(() => String(statusOf(path).ino));
}

/**
 * Changes an open file. Overlayfs copies a lower one up to its name even when another file, or nothing, has that now:
 * the answer tells, as the union shows it only once the kernel has forgotten the other.
 */
export function changeHeld(world: World, slot: number, change: (fd: number) => number): void {
  const { fd } = world.holding(slot);
  const place = world.isReference ? asRoot(() => formerPlace(world, fd)) : undefined;
  if (place === undefined) {
    change(fd);
    return;
  }
  const before = asRoot(() => inoOf(place));
  const outcome = outcomeOf(() => void change(fd));
  if (asRoot(() => inoOf(place)) !== before) throw new Remark(TAKES_NAME_BACK);
  if (outcome !== 'ok') throw new Remark(outcome);
}
