import { setNonBlocking, waitReadable } from '../sys/event.ts';
import { ioctl, read, write } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';

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
  /** Waits for a request; answers false where none has come within `timeout` ms (negative: for as long as it takes). */
  wait(timeout: number): boolean;
  setNonBlocking(on: boolean): void;
  /** @param argument an address. */
  ioctl(request: number, argument: number): number;
}

export class FuseDevice implements Device {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  read(address: number, capacity: number): number {
    return read(this.fd, address, capacity);
  }

  write(address: number, length: number): number {
    return write(this.fd, address, length);
  }

  waitFor(event: number): boolean {
    waitReadable(this.fd, event);
    return read(event, counter.address, 8) > 0;
  }

  wait(timeout: number): boolean {
    return waitReadable(this.fd, -1, timeout) !== 0;
  }

  setNonBlocking(on: boolean): void {
    setNonBlocking(this.fd, on);
  }

  ioctl(request: number, argument: number): number {
    return ioctl(this.fd, request, argument);
  }
}
