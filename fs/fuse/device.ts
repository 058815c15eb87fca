import { read, write } from '../sys/file.ts';

/** Where requests come from and replies go: /dev/fuse, or a test. */
export interface Device {
  /** Fills the memory with one request; answers its length or a negative errno. */
  read(address: number, capacity: number): number;
  /** Takes one reply or notification whole. */
  write(address: number, length: number): number;
}

export class FuseDevice implements Device {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  read(address: number, capacity: number): number {
    return read(this.#fd, address, capacity);
  }

  write(address: number, length: number): number {
    return write(this.#fd, address, length);
  }
}
