// Linux errno values (asm-generic/errno-base.h, errno.h): the same on every architecture that Node supports.
export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const ENOEXEC = 8;
export const EBADF = 9;
export const ECHILD = 10;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const EXDEV = 18;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENOTTY = 25;
export const EFBIG = 27;
export const ENOSPC = 28;
export const EROFS = 30;
export const EMLINK = 31;
export const EPIPE = 32;
export const ERANGE = 34;
export const ENAMETOOLONG = 36;
export const ENOSYS = 38;
export const ENOTEMPTY = 39;
export const ELOOP = 40;
export const ENODATA = 61;
export const EPROTO = 71;
export const EOVERFLOW = 75;
export const EOPNOTSUPP = 95;
export const ECONNABORTED = 103;
export const ENOTCONN = 107;
export const ETIMEDOUT = 110;
export const ESTALE = 116;
export const EDQUOT = 122;

const NAMES: Readonly<Record<number, readonly [name: string, meaning: string]>> = {
  [EPERM]: ['EPERM', 'operation not permitted'],
  [ENOENT]: ['ENOENT', 'no such file or directory'],
  [ESRCH]: ['ESRCH', 'no such process'],
  [EINTR]: ['EINTR', 'interrupted'],
  [EIO]: ['EIO', 'input/output error'],
  [ENXIO]: ['ENXIO', 'no such device or address'],
  [E2BIG]: ['E2BIG', 'argument list too long'],
  [ENOEXEC]: ['ENOEXEC', 'exec format error'],
  [EBADF]: ['EBADF', 'bad file descriptor'],
  [ECHILD]: ['ECHILD', 'no child processes'],
  [EAGAIN]: ['EAGAIN', 'resource temporarily unavailable'],
  [ENOMEM]: ['ENOMEM', 'out of memory'],
  [EACCES]: ['EACCES', 'permission denied'],
  [EBUSY]: ['EBUSY', 'device or resource busy'],
  [EEXIST]: ['EEXIST', 'file exists'],
  [EXDEV]: ['EXDEV', 'on different filesystems'],
  [ENODEV]: ['ENODEV', 'no such device'],
  [ENOTDIR]: ['ENOTDIR', 'not a directory'],
  [EISDIR]: ['EISDIR', 'is a directory'],
  [EINVAL]: ['EINVAL', 'invalid argument'],
  [EMFILE]: ['EMFILE', 'too many open files'],
  [ENOTTY]: ['ENOTTY', 'inappropriate ioctl for device'],
  [EFBIG]: ['EFBIG', 'file too large'],
  [ENOSPC]: ['ENOSPC', 'no space left on device'],
  [EROFS]: ['EROFS', 'read-only file system'],
  [EMLINK]: ['EMLINK', 'too many links'],
  [EPIPE]: ['EPIPE', 'broken pipe'],
  [ERANGE]: ['ERANGE', 'result too large'],
  [ENAMETOOLONG]: ['ENAMETOOLONG', 'file name too long'],
  [ENOSYS]: ['ENOSYS', 'function not implemented'],
  [ENOTEMPTY]: ['ENOTEMPTY', 'directory not empty'],
  [ELOOP]: ['ELOOP', 'too many levels of symbolic links'],
  [ENODATA]: ['ENODATA', 'no data available'],
  [EPROTO]: ['EPROTO', 'protocol error'],
  [EOVERFLOW]: ['EOVERFLOW', 'value too large'],
  [EOPNOTSUPP]: ['EOPNOTSUPP', 'operation not supported'],
  [ECONNABORTED]: ['ECONNABORTED', 'connection aborted'],
  [ENOTCONN]: ['ENOTCONN', 'transport endpoint is not connected'],
  [ETIMEDOUT]: ['ETIMEDOUT', 'timed out'],
  [EDQUOT]: ['EDQUOT', 'disk quota exceeded'],
  [ESTALE]: ['ESTALE', 'stale file handle'],
};

/** `-2` or `2` -> `ENOENT`. */
export function errnoName(errno: number): string {
  const positive = Math.abs(errno);
  return NAMES[positive]?.[0] ?? `errno ${positive}`;
}

/** `-2` or `2` -> `no such file or directory (ENOENT)`. */
export function describeErrno(errno: number): string {
  const known = NAMES[Math.abs(errno)];
  return known === undefined ? errnoName(errno) : `${known[1]} (${known[0]})`;
}

/** A system call that failed outside the request path, where exceptions are allowed. */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  readonly errno: number;

  /** @param attempt what was tried and on what: "open lower layer /a". */
  constructor(attempt: string, errno: number) {
    super(`cannot ${attempt}: ${describeErrno(errno)}`);
    this.errno = Math.abs(errno);
  }
}

/** Throws a `SystemError` where `value` is a negative errno, else answers it. */
export function check(value: number, attempt: string): number {
  if (value < 0) throw new SystemError(attempt, value);
  return value;
}
