import { bind, bindAsync, result } from './libc.ts';
import { Memory } from './memory.ts';

const nativeEventfd = bind('int eventfd(uint32_t initial, int flags)');
const nativePoll = bind('int poll(uintptr_t fds, unsigned long count, int timeout)');
const nativeFcntl = bind('int fcntl(int fd, int command, long argument)');

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const POLLIN = 1;
const POLLERR = 8;

/** A counter that threads of this process add to by writing and empty by reading (eventfd(2)). */
export function eventfd(): number {
  return result(nativeEventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

// Two `struct pollfd`: int fd, short events, short revents.
const fds = new Memory(16);

/**
 * Waits until at least one of two descriptors has something to read, or has ended.
 *
 * @param timeout ms; negative: for as long as it takes.
 * @returns how many have, 0 after the timeout; or a negative errno.
 */
export function waitReadable(first: number, second: number, timeout = -1): number {
  fds.view.setInt32(0, first, true);
  fds.view.setInt16(4, POLLIN, true);
  fds.view.setInt32(8, second, true);
  fds.view.setInt16(12, POLLIN, true);
  return result(nativePoll(fds.address, 2, timeout));
}

const pollOnPool = bindAsync('int poll(uintptr_t fds, unsigned long count, int timeout)');

function pollFor(fd: number): Memory {
  const one = new Memory(8);
  one.view.setInt32(0, fd, true);
  one.view.setInt16(4, POLLIN, true);
  return one;
}

/** Resolves, by a thread of libuv's pool, when a descriptor has something to read. */
export async function untilReadable(fd: number): Promise<void> {
  const waited = pollFor(fd);
  await pollOnPool(waited.address, 1, -1);
  // Here, so that it outlives the call.
  waited.view.setInt32(0, -1, true);
}

/** Waits until a descriptor has something to read. */
export function waitUntilReadable(fd: number): void {
  nativePoll(pollFor(fd).address, 1, -1);
}

/** Whether nobody has the other end of the pipe whose writing end this is. */
export function hasLostReader(pipe: number): boolean {
  fds.view.setInt32(0, pipe, true);
  fds.view.setInt32(4, 0, true);
  return result(nativePoll(fds.address, 1, 0)) > 0 && (fds.view.getInt16(6, true) & POLLERR) !== 0;
}

/** Makes reads of a descriptor answer EAGAIN where they would wait, or wait again. */
export function setNonBlocking(fd: number, on: boolean): number {
  const flags = result(nativeFcntl(fd, F_GETFL, 0));
  if (flags < 0) return flags;
  return result(nativeFcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}
