import { EAGAIN } from './errno.ts';
import { fcntl } from './fcntl.ts';

const F_SETSIG = 10;
const F_SETLEASE = 1024;
const F_RDLCK = 0;
const F_UNLCK = 2;
/** Ends nobody who has no use for it; the signal of leases, SIGIO, does. */
const SIGURG = 23;

/**
 * Whether anybody has a file open for writing, or mapped so: nobody is given a read lease on it then. Undefined where the
 * file's filesystem gives no leases, or not to us (CAP_LEASE).
 *
 * @param fd of the regular file, open for reading alone.
 */
export function hasWriters(fd: number): boolean | undefined {
  // Who opens it for writing while we have the lease waits until we give it back, and has us told.
  fcntl(fd, F_SETSIG, SIGURG);
  const leased = fcntl(fd, F_SETLEASE, F_RDLCK);
  if (leased < 0) return leased === -EAGAIN ? true : undefined;
  fcntl(fd, F_SETLEASE, F_UNLCK);
  return false;
}
