import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { ENOSYS, EPERM } from '../sys/errno.ts';
import { STATFS, fdatasync, fstatfs, startFileRange, syncFileRange } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import { type Layer } from './layer.ts';

// A copy's data has to be on disk before its name, or the loss of its mark, can be: after a power cut the file is the lower
// one or the whole copy. It is not to be there any sooner than that, as fdatasync(2) has it, which waits for the journal.

/** How a copy is made to last. */
export const SETTLE = {
  /** Not at all: the upper is lost with the machine (`volatile`). */
  none: 0,
  /** By fdatasync(2). */
  sync: 1,
  /** By writing its data: the journal keeps what follows behind it. */
  order: 2,
} as const;
export type Settle = (typeof SETTLE)[keyof typeof SETTLE];

const EXT4_SUPER_MAGIC = 0xef53;
const stated = new Memory(STATFS.sizeof);

/**
 * How files of this upper are made to last.
 *
 * Of ext4 it is known that the end of a page's writing includes the journal's note of where its blocks are and how long
 * the file is (ext4_end_bio), that a rename is noted after it, in the same transaction or a later one, and that the disk
 * has written all that came before by the time it has the transaction's commit block. That takes a journal on the disk of
 * the data, and `data=ordered`, the default.
 */
export function settleOf(upper: Layer): Settle {
  if (fstatfs(upper.root.fd, stated) < 0 || stated.view.getUint32(STATFS.type, true) !== EXT4_SUPER_MAGIC)
    return SETTLE.sync;
  try {
    const device = `${Math.floor(upper.dev / 0x100000)}:${upper.dev % 0x100000}`;
    const name = basename(readlinkSync(`/sys/dev/block/${device}`));
    const options = readFileSync(`/proc/fs/ext4/${name}/options`, 'latin1').split('\n');
    // A journal's own inode is 8; one on another disk has none.
    return options.includes('data=ordered') && existsSync(`/proc/fs/jbd2/${name}-8`) ? SETTLE.order : SETTLE.sync;
  } catch {
    // Nothing says so.
    return SETTLE.sync;
  }
}

/** Has the disk begin to write a file's data, for `settle` to wait the less. Where that is refused, it waits as long. */
export function beginSettling(fd: number, how: Settle): void {
  if (how !== SETTLE.none) startFileRange(fd);
}

/** Has a file's data on disk as `how` says; answers 0 or a negative errno. */
export function settle(fd: number, how: Settle): number {
  if (how === SETTLE.none) return 0;
  if (how === SETTLE.sync) return fdatasync(fd);
  const written = syncFileRange(fd);
  // Where a filter does not know the call.
  return written === -ENOSYS || written === -EPERM ? fdatasync(fd) : written;
}
