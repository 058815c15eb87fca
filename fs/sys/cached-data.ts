import { EAGAIN } from './errno.ts';
import { type FileOffset, offsetBehind, writeFileOffset } from './file-offset.ts';
import { bind, result, syscallNumber } from './libc.ts';
import { Memory } from './memory.ts';

const nativePreadv2 = bind(
  'long syscall(long number, int fd, uintptr_t vectors, long count, int64_t offset, long high, int flags)',
);

const RWF_NOWAIT = 8;
const LONGEST = 1 << 20;

let data: Memory | undefined;
const vector = new Memory(16);

/**
 * Whether reading these bytes would wait for no disk: they are in memory, or beyond the file's end. Also where the
 * filesystem cannot tell.
 */
export function isCached(fd: number, offset: FileOffset, length: number): boolean {
  data ??= new Memory(LONGEST);
  writeFileOffset(vector.view, 0, data.address);
  for (let at = 0; at < length;) {
    writeFileOffset(vector.view, 8, Math.min(length - at, LONGEST));
    const read = result(
      nativePreadv2(syscallNumber('preadv2'), fd, vector.address, 1, offsetBehind(offset, at), 0, RWF_NOWAIT),
    );
    if (read === -EAGAIN) return false;
    if (read <= 0) return true;
    at += read;
  }
  return true;
}
