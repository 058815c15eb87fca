import { EINTR } from '../sys/errno.ts';
import { EpollSet, PollSet, setNonBlocking } from '../sys/event.ts';
import { ioctl, read, write } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import type { LoopWatch } from './loop-watch.ts';

const counter = new Memory(8);

/** Where requests come from and replies go: /dev/fuse, or a test. */
export interface Device {
  readonly fd: number;
  /** Fills the memory with one request; answers its length or a negative errno. */
  read(address: number, capacity: number): number;
  /** Takes one reply or notification whole. */
  write(address: number, length: number): number;
  /**
   * Waits for a request or for `event`, an eventfd, which it empties; answers whether the event had come. Reads must not
   * wait while requests are parked: `setNonBlocking`.
   */
  waitFor(event: number): boolean;
  /**
   * Waits for a request; answers 0 where none has come within `timeout` ms (negative: for as long as it takes), and EINTR
   * where the thread has other things to do first.
   */
  wait(timeout: number): number;
  /** Whether reads must not wait, since the thread waits for other things along with requests. */
  readonly isShared: boolean;
  setNonBlocking(on: boolean): void;
  /** @param argument an address. */
  ioctl(request: number, argument: number): number;
}

/** What is waited for, by its place among the descriptors. */
const REQUEST = 0;
const LOOP = 1;
const EVENT = 2;

export class FuseDevice implements Device {
  readonly fd: number;
  readonly #loop: LoopWatch | undefined;
  /** As long as there is nothing else to wait for: requests and the loop. */
  readonly #waiting: PollSet | EpollSet;
  readonly #waitingForEvent: PollSet;

  /** @param loop of the thread that serves, where that is to have turns; the device is served for the process's lifetime then. */
  constructor(fd: number, loop?: LoopWatch) {
    this.fd = fd;
    this.#loop = loop;
    this.#waiting = loop === undefined ? new PollSet([fd, -1]) : new EpollSet([fd, loop.fd]);
    this.#waitingForEvent = new PollSet([fd, loop?.fd ?? -1, -1]);
  }

  get isShared(): boolean {
    return this.#loop !== undefined;
  }

  read(address: number, capacity: number): number {
    return read(this.fd, address, capacity);
  }

  write(address: number, length: number): number {
    return write(this.fd, address, length);
  }

  waitFor(event: number): boolean {
    this.#waitingForEvent.set(EVENT, event);
    this.#wait(this.#waitingForEvent, -1);
    return read(event, counter.address, 8) > 0;
  }

  wait(timeout: number): number {
    const isOver = this.#wait(this.#waiting, timeout);
    if (this.#waiting.isReady(REQUEST)) return 1;
    return isOver ? 0 : -EINTR;
  }

  /** Answers whether it has lasted for `timeout`. */
  #wait(waiting: PollSet | EpollSet, timeout: number): boolean {
    const ready = waiting.wait(this.#loop?.bound(timeout) ?? timeout);
    const isDue = this.#loop?.woken(waiting.isReady(LOOP), ready === 0) ?? false;
    return ready === 0 && !isDue;
  }

  setNonBlocking(on: boolean): void {
    setNonBlocking(this.fd, on);
  }

  ioctl(request: number, argument: number): number {
    return ioctl(this.fd, request, argument);
  }
}
