import { type FileOffset, writeFileOffset } from './file-offset.ts';
import { fcntl } from './fcntl.ts';
import { bind, result } from './libc.ts';
import { Memory } from './memory.ts';

const nativeSplice = bind(
  'int64_t splice(int from, uintptr_t fromOffset, int to, uintptr_t toOffset, size_t length, uint32_t flags)',
);

const F_SETPIPE_SZ = 1031;
/** Does not wait for room in the pipe. */
const SPLICE_F_NONBLOCK = 2;

const offsets = new Memory(8);

/** Puts up to `length` bytes of a file into a pipe, as references to its page cache; answers how many, 0 at its end. */
export function spliceToPipe(file: number, offset: FileOffset, pipe: number, length: number): number {
  writeFileOffset(offsets.view, 0, offset);
  return result(nativeSplice(file, offsets.address, pipe, 0, length, SPLICE_F_NONBLOCK));
}

/** Has a device take `length` bytes out of a pipe at once. */
export function spliceFromPipe(pipe: number, device: number, length: number): number {
  return result(nativeSplice(pipe, 0, device, 0, length, 0));
}

/** Takes one request of a device into a pipe; waits where a read would. */
export function spliceFromDevice(device: number, pipe: number, capacity: number): number {
  return result(nativeSplice(device, 0, pipe, 0, capacity, SPLICE_F_NONBLOCK));
}

/** Writes up to `length` bytes of a pipe into a file; answers how many. */
export function spliceToFile(pipe: number, file: number, offset: FileOffset, length: number): number {
  writeFileOffset(offsets.view, 0, offset);
  return result(nativeSplice(pipe, 0, file, offsets.address, length, SPLICE_F_NONBLOCK));
}

/** Answers the bytes that the pipe holds from now on, or a negative errno (EPERM: more than the user may have). */
export function setPipeSize(pipe: number, size: number): number {
  return fcntl(pipe, F_SETPIPE_SZ, size);
}
