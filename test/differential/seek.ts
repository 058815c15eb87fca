import { Failure, libcCalls as libc } from './libc.ts';
import { isDirectory, statusOfFd } from './status.ts';

const SEEK_DATA = 3;
const LIMIT = 65_536;

const buffer = Buffer.alloc(LIMIT);

function isZero(fd: number, from: number, to: number): boolean {
  const length = libc.pread(fd, buffer, to - from, from);
  return buffer.subarray(0, length).every((byte) => byte === 0);
}

/** What a filesystem calls a hole is its own affair, but it consists of zeros, and data is not passed over. */
function seekRegion(fd: number, offset: number, whence: number, size: number): string {
  let found = size;
  try {
    found = libc.lseek(fd, offset, whence);
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'ENXIO' || offset >= size || whence !== SEEK_DATA) throw error;
  }
  const holds = whence === SEEK_DATA ? isZero(fd, offset, found) : found === size || isZero(fd, found, found + 1);
  return holds ? 'right' : `wrong: ${found}`;
}

/** lseek(2) in a file; what a position in a directory means is the filesystem's own. */
export function seek(fd: number, offset: number, whence: number): number | string {
  const status = statusOfFd(fd);
  if (isDirectory(status)) return 'a directory';
  return whence < SEEK_DATA ? libc.lseek(fd, offset, whence) : seekRegion(fd, offset, whence, status.size);
}
