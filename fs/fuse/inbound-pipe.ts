import { O_CLOEXEC } from '../sys/constants.ts';
import type { FileOffset } from '../sys/file-offset.ts';
import { close, read } from '../sys/file.ts';
import { pipe2 } from '../sys/process.ts';
import { setPipeSize, spliceFromDevice, spliceToFile } from '../sys/splice.ts';
import { OPCODE } from './constants.ts';
import type { Device } from './device.ts';
import { BODY, MAX_WRITE, type Slot } from './slot.ts';
import { ABI } from './structs.ts';

const { fuse_in_header: HEADER, fuse_write_in: WRITE_IN } = ABI;

/** What comes before the data of a WRITE. */
const HEAD = BODY + WRITE_IN.sizeof;
/** What is shorter costs more by its two further system calls than by being copied once more. */
const SHORTEST = 64 << 10;
/** A page of data takes a page of the pipe, and the header another: the kernel loses a request that does not fit. */
const PIPE_SIZE = 2 * MAX_WRITE;
/** So many requests in a row without data end it. */
const FULL_CREDIT = 4;

/**
 * The device, whose requests are taken through a pipe while WRITEs of some length come: their data then goes from the
 * writer's pages to the file's with one copy, and not into our memory and out of it.
 *
 * Invariant: the pipe is empty when a request is read.
 */
export class InboundPipe implements Device {
  readonly fd: number;
  readonly #device: Device;
  /** What requests are read into. */
  readonly #slot: Slot;
  #readEnd = -1;
  #writeEnd = -1;
  #credit = 0;
  #isRefused = false;
  /** Bytes of the request's data that are still in the pipe. */
  left = 0;

  constructor(device: Device, slot: Slot) {
    this.fd = device.fd;
    this.#device = device;
    this.#slot = slot;
  }

  read(address: number, capacity: number): number {
    const length = this.#credit > 0 ? this.#readThroughPipe(address, capacity) : this.#device.read(address, capacity);
    if (length < 0) return length;
    if (this.#hasData(length)) this.#credit = this.#open() ? FULL_CREDIT : 0;
    else if (this.#credit > 0) this.#credit--;
    return length;
  }

  #readThroughPipe(address: number, capacity: number): number {
    const length = spliceFromDevice(this.fd, this.#writeEnd, capacity);
    if (length <= 0) return length;
    const head = Math.min(length, HEAD);
    read(this.#readEnd, address, head);
    this.left = length - head;
    if (!this.#hasData(length)) this.#take(address + head);
    return length;
  }

  #hasData(length: number): boolean {
    return length >= HEAD + SHORTEST && this.#slot.in.getUint32(HEADER.opcode, true) === OPCODE.WRITE;
  }

  /** Writes the data in the pipe to a file; answers the bytes written, or a negative errno where there are none. */
  writeTo(file: number, offset: FileOffset): number {
    const written = spliceToFile(this.#readEnd, file, offset, this.left);
    if (written > 0) this.left -= written;
    return written;
  }

  /** Moves what is left in the pipe to where a read would have put it. */
  load(): void {
    const { requestAddress, length } = this.#slot;
    this.#take(requestAddress + length - this.left);
  }

  #take(address: number): void {
    const end = address + this.left;
    while (this.left > 0) {
      const got = read(this.#readEnd, end - this.left, this.left);
      if (got <= 0) throw new Error(`the pipe of requests lacks ${this.left} bytes`);
      this.left -= got;
    }
  }

  close(): void {
    if (this.#readEnd >= 0) close(this.#readEnd);
    if (this.#writeEnd >= 0) close(this.#writeEnd);
    this.#readEnd = this.#writeEnd = -1;
    this.#credit = 0;
    this.#isRefused = true;
  }

  write(address: number, length: number): number {
    return this.#device.write(address, length);
  }

  waitFor(event: number): boolean {
    return this.#device.waitFor(event);
  }

  get isShared(): boolean {
    return this.#device.isShared;
  }

  wait(timeout: number): number {
    return this.#device.wait(timeout);
  }

  setNonBlocking(on: boolean): void {
    this.#device.setNonBlocking(on);
  }

  ioctl(request: number, argument: number): number {
    return this.#device.ioctl(request, argument);
  }

  #open(): boolean {
    if (this.#readEnd >= 0 || this.#isRefused) return !this.#isRefused;
    const pipe = pipe2(O_CLOEXEC);
    if (typeof pipe === 'number') return false;
    this.#readEnd = pipe.readEnd;
    this.#writeEnd = pipe.writeEnd;
    if (setPipeSize(pipe.writeEnd, PIPE_SIZE) < PIPE_SIZE) this.close();
    return !this.#isRefused;
  }
}
