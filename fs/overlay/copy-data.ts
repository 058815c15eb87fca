import { SEEK_DATA, SEEK_HOLE } from '../sys/constants.ts';
import { EIO, ENXIO } from '../sys/errno.ts';
import { type FileOffset, lengthWithin, offsetBehind } from '../sys/file-offset.ts';
import { copyFileRange, ficlone, ftruncate, lseek, pread, pwrite } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import { type Layer } from './layer.ts';
import { SETTLE, type Settle, beginSettling } from './settle.ts';

const CHUNK = 1 << 20;
/** What copy_file_range(2) moves at most in one call (MAX_RW_COUNT), rounded down. */
const LONGEST_COPY = 1 << 30;
/** Bytes that are copied before the disk begins to write them, which goes on beside the rest of a large file's copy. */
const LONGEST_UNWRITTEN = 32 << 20;
/** stat's unit of st_blocks, bytes. */
const BLOCK = 512;

let buffer: Memory | undefined;

/**
 * Copies the first `size` bytes, holes as holes. Shared blocks where the filesystem can (FICLONE), else
 * copy_file_range, else through memory.
 *
 * @param whole `size` is the file's length: a clone will do.
 * @param blocks st_blocks of the source: a file with a block for every byte has no holes to look for.
 */
export function copyData(
  layer: Layer,
  from: number,
  to: number,
  size: FileOffset,
  whole: boolean,
  blocks: number,
  how: Settle,
): number {
  if (size === 0 || (whole && cloneData(layer, from, to))) return 0;
  return copyContents(from, to, size, blocks, how);
}

/** Shares all blocks of a file with a new one, in no time; false where the filesystem cannot. */
export function cloneData(layer: Layer, from: number, to: number): boolean {
  if (layer.refusesClone) return false;
  layer.refusesClone = ficlone(to, from) < 0;
  return !layer.refusesClone;
}

/**
 * Copies the first `size` bytes, holes as holes; answers 0 or a negative errno.
 *
 * @param how the copy will be made to last.
 */
export function copyContents(from: number, to: number, size: FileOffset, blocks: number, how: Settle): number {
  if (blocks * BLOCK >= size) return copyRange(from, to, 0, size, how);
  const copied = copySegments(from, to, size, how);
  return copied < 0 ? copied : ftruncate(to, size);
}

function copySegments(from: number, to: number, size: FileOffset, how: Settle): number {
  for (let at: FileOffset = 0; at < size;) {
    const start = lseek(from, at, SEEK_DATA);
    if (start === -ENXIO) return 0;
    // A filesystem without holes: all is data.
    if (start < 0) return copyRange(from, to, at, size, how);
    if (start >= size) return 0;
    const hole = lseek(from, start, SEEK_HOLE);
    const end = hole < 0 || hole > size ? size : hole;
    const copied = copyRange(from, to, start, end, how);
    if (copied < 0) return copied;
    at = end;
  }
  return 0;
}

function copyRange(from: number, to: number, start: FileOffset, end: FileOffset, how: Settle): number {
  const longest = how === SETTLE.none ? LONGEST_COPY : LONGEST_UNWRITTEN;
  for (let at = start; at < end;) {
    const copied = copyFileRange(from, at, to, at, lengthWithin(at, end, longest));
    if (copied === 0) return ftruncate(to, end);
    if (copied < 0) return copyThroughMemory(from, to, at, end);
    at = offsetBehind(at, copied);
    if (copied === LONGEST_UNWRITTEN) beginSettling(to, how);
  }
  return 0;
}

/** copy_file_range(2) refuses across some filesystems and before Linux 5.3. */
function copyThroughMemory(from: number, to: number, start: FileOffset, end: FileOffset): number {
  buffer ??= new Memory(CHUNK);
  for (let at = start; at < end;) {
    const length = pread(from, buffer.address, lengthWithin(at, end, CHUNK), at);
    if (length < 0) return length;
    if (length === 0) return 0;
    for (let written = 0; written < length;) {
      const done = pwrite(to, buffer.address + written, length - written, offsetBehind(at, written));
      if (done <= 0) return done === 0 ? -EIO : done;
      written += done;
    }
    at = offsetBehind(at, length);
  }
  return 0;
}
