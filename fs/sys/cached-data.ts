import { EAGAIN } from './errno.ts';
import { type FileOffset, offsetBehind, writeFileOffset } from './file-offset.ts';
import { bind, result, syscallNumber } from './libc.ts';
import { Memory } from './memory.ts';

const nativePreadv2 = bind(
  'long syscall(long number, int fd, uintptr_t vectors, long count, int64_t offset, long high, int flags)',
);

const SYS_PREADV2 = syscallNumber('preadv2');
const RWF_NOWAIT = 8;
const LONGEST = 1 << 20;

let data: Memory | undefined;
const vector = new Memory(16);

/** Reads what is in memory: EAGAIN where nothing is, EOPNOTSUPP where the filesystem cannot tell. */
export function readCached(fd: number, address: number, count: number, offset: FileOffset): number {
  writeFileOffset(vector.view, 0, address);
  writeFileOffset(vector.view, 8, count);
  return result(nativePreadv2(SYS_PREADV2, fd, vector.address, 1, offset, 0, RWF_NOWAIT));
}

/**
 * Whether reading these bytes would wait for no disk: they are in memory, or beyond the file's end. Also where the
 * filesystem cannot tell.
 */
export function isCached(fd: number, offset: FileOffset, length: number): boolean {
  data ??= new Memory(LONGEST);
  for (let at = 0; at < length;) {
    const read = readCached(fd, data.address, Math.min(length - at, LONGEST), offsetBehind(offset, at));
    if (read === -EAGAIN) return false;
    if (read <= 0) return true;
    at += read;
  }
  return true;
}
