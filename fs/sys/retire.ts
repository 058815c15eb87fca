import { loadKoffi } from './koffi.ts';

const O_CLOEXEC = 0o2000000;

/**
 * Takes what a descriptor refers to away from under it: reads of it answer 0 from then on, and writes EBADF. Its number
 * stays taken, so that a thread that goes on using it cannot hit a file opened meanwhile; whoever knows that no thread
 * does closes it. May be done again.
 */
export function retireDescriptor(fd: number): void {
  // Loaded here, since most who may need it never do.
  const libc = loadKoffi().load(null);
  const close = libc.func('int close(int fd)');
  // The end for reading of a pipe that nobody writes to: it needs no file system, as /dev/null would.
  const ends = new Int32Array(2);
  if (libc.func('int pipe2(int *ends, int flags)')(ends, O_CLOEXEC) !== 0) return;
  const [reading = -1, writing = -1] = ends;
  libc.func('int dup3(int from, int to, int flags)')(reading, fd, O_CLOEXEC);
  close(reading);
  close(writing);
}
