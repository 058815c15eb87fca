import { toBytes } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_CREAT, O_RDWR } from '../../fs/sys/constants.ts';
import { check, EAGAIN, EROFS, SystemError } from '../../fs/sys/errno.ts';
import { close, flock, LOCK_EX, LOCK_NB, LOCK_SH, openat } from '../../fs/sys/file.ts';

/** A lock on a file, which the kernel gives back when its holder ends, however it ends. */
export interface Lock {
  release(): void;
}

const WRITABLE = 'set LAMINA_ROOT to a directory in which you may write';

function openLock(path: string): number {
  const fd = openat(-1, toBytes(path), O_RDWR | O_CREAT | O_CLOEXEC, 0o600);
  if (fd === -EROFS) throw new Error(`${new SystemError(`open lock ${path}`, fd).message}; ${WRITABLE}`);
  return check(fd, `open lock ${path}`);
}

function take(path: string, operation: number): Lock | undefined {
  const fd = openLock(path);
  const status = flock(fd, operation);
  if (status === 0) return { release: () => void close(fd) };
  close(fd);
  if (status !== -EAGAIN) check(status, `lock ${path}`);
  return undefined;
}

/** Runs `work` alone among all processes. It is synchronous: the lock must not be held while something is waited for. */
export function withLock<T>(path: string, work: () => T): T {
  const lock = take(path, LOCK_EX);
  try {
    return work();
  } finally {
    lock?.release();
  }
}

/** Waits for a lock that many may hold at once. */
export function lockShared(path: string): Lock {
  const lock = take(path, LOCK_SH);
  if (lock === undefined) throw new Error(`cannot lock ${path}`);
  return lock;
}

/** The lock alone, or undefined where anybody holds it. */
export function tryLock(path: string): Lock | undefined {
  return take(path, LOCK_EX | LOCK_NB);
}
