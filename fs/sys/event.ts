import { check } from './errno.ts';
import { fcntl } from './fcntl.ts';
import { bind, bindAsync, result } from './libc.ts';
import { Memory } from './memory.ts';

const nativeEventfd = bind('int eventfd(uint32_t initial, int flags)');
const nativePoll = bind('int poll(uintptr_t fds, unsigned long count, int timeout)');
const nativeEpollCreate = bind('int epoll_create1(int flags)');
const nativeEpollControl = bind('int epoll_ctl(int epoll, int operation, int fd, uintptr_t event)');
const nativeEpollWait = bind('int epoll_wait(int epoll, uintptr_t events, int most, int timeout)');

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

/** `struct pollfd`: int fd, short events, short revents. */
const POLLFD = 8;

/** Descriptors that are waited for together; a negative one never has anything. */
export class PollSet {
  readonly #entries: Memory;
  readonly #count: number;
  #ready = 0;

  constructor(fds: readonly number[]) {
    this.#count = fds.length;
    this.#entries = new Memory(POLLFD * fds.length);
    fds.forEach((fd, at) => {
      this.set(at, fd);
      this.#entries.view.setInt16(at * POLLFD + 4, POLLIN, true);
    });
  }

  /** Puts another descriptor in the place of one. */
  set(at: number, fd: number): void {
    this.#entries.view.setInt32(at * POLLFD, fd, true);
  }

  /**
   * Waits until at least one has something to read, or has ended.
   *
   * @param timeout ms; negative: for as long as it takes.
   * @returns how many have, 0 after the timeout; or a negative errno.
   */
  wait(timeout: number): number {
    this.#ready = result(nativePoll(this.#entries.address, this.#count, timeout));
    return this.#ready;
  }

  /** Whether that one had something after the last wait. */
  isReady(at: number): boolean {
    // Of a wait that was interrupted the kernel tells nothing.
    return this.#ready > 0 && this.#entries.view.getInt16(at * POLLFD + 6, true) !== 0;
  }
}

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
/** `struct epoll_event`: uint32_t events, uint64_t data; packed on x86-64 alone. */
const EPOLL_EVENT = process.arch === 'x64' ? { data: 4, sizeof: 12 } : { data: 8, sizeof: 16 };

/** As `PollSet`, of which the kernel keeps the list: to make one takes longer, to wait for it half as long (epoll(7)). */
export class EpollSet {
  readonly #epoll: number;
  readonly #events: Memory;
  readonly #count: number;
  /** A bit for each that was ready. */
  #ready = 0;

  constructor(fds: readonly number[]) {
    this.#epoll = check(result(nativeEpollCreate(EPOLL_CLOEXEC)), 'make an epoll');
    this.#count = fds.length;
    this.#events = new Memory(EPOLL_EVENT.sizeof * fds.length);
    const { view, address } = this.#events;
    fds.forEach((fd, at) => {
      view.setUint32(0, POLLIN, true);
      view.setUint32(EPOLL_EVENT.data, at, true);
      check(result(nativeEpollControl(this.#epoll, EPOLL_CTL_ADD, fd, address)), 'wait for a descriptor');
    });
  }

  /** As `PollSet.wait`. */
  wait(timeout: number): number {
    const count = result(nativeEpollWait(this.#epoll, this.#events.address, this.#count, timeout));
    this.#ready = 0;
    for (let at = 0; at < count; at++) {
      this.#ready |= 1 << this.#events.view.getUint32(at * EPOLL_EVENT.sizeof + EPOLL_EVENT.data, true);
    }
    return count;
  }

  isReady(at: number): boolean {
    return (this.#ready & (1 << at)) !== 0;
  }
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

const fds = new Memory(POLLFD);

/** Whether nobody has the other end of the pipe whose writing end this is. */
export function hasLostReader(pipe: number): boolean {
  fds.view.setInt32(0, pipe, true);
  fds.view.setInt32(4, 0, true);
  return result(nativePoll(fds.address, 1, 0)) > 0 && (fds.view.getInt16(6, true) & POLLERR) !== 0;
}

/** Makes reads of a descriptor answer EAGAIN where they would wait, or wait again. */
export function setNonBlocking(fd: number, on: boolean): number {
  const flags = fcntl(fd, F_GETFL, 0);
  if (flags < 0) return flags;
  return fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}
