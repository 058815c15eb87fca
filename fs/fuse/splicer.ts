import { O_CLOEXEC } from '../sys/constants.ts';
import type { FileOffset } from '../sys/file-offset.ts';
import { close, read, write } from '../sys/file.ts';
import { pipe2 } from '../sys/process.ts';
import { setPipeSize, spliceFromPipe, spliceToPipe } from '../sys/splice.ts';
import { PAYLOAD, type Slot } from './slot.ts';

/** What is shorter costs more by its two further system calls than by being copied once more. */
const SHORTEST = 32 << 10;
/**
 * Answers READ with references to a file's page cache, by way of a pipe: the kernel then copies the data once, and not
 * into our memory and out of it.
 */
export class Splicer {
  readonly #device: number;
  readonly #pageSize: number;
  #readEnd = -1;
  #writeEnd = -1;
  /** Bytes of data that the pipe holds beside their header. */
  #longest = 0;
  /** From which size on there is no pipe: a user may have so many pages in pipes, all together. */
  #refused = Number.POSITIVE_INFINITY;

  /** @param device descriptor that replies are written to. */
  constructor(device: number, pageSize: number) {
    this.#device = device;
    this.#pageSize = pageSize;
  }

  /** Whether a reply of so many bytes of data goes this way. */
  takes(size: number): boolean {
    return size >= SHORTEST && (size <= this.#longest || (size < this.#refused && this.#grow(size)));
  }

  /**
   * Replies with a file's content. Answers `size` where that was done; fewer, where so many are in the slot's payload and
   * not sent: there the file ends; or a negative errno, with nothing done.
   */
  reply(slot: Slot, file: number, offset: FileOffset, size: number): number {
    const length = slot.encode(0, size);
    const headed = write(this.#writeEnd, slot.replyAddress, PAYLOAD);
    if (headed < 0) return headed;
    const put = spliceToPipe(file, offset, this.#writeEnd, size);
    if (put < size) {
      // The header, which tells another length, and what data there is, to where a reply has them.
      read(this.#readEnd, slot.replyAddress, PAYLOAD + Math.max(put, 0));
      return put;
    }
    // A reply that the kernel refuses (nobody waits for it any longer, or the session has ended) may be left in the pipe.
    if (spliceFromPipe(this.#readEnd, this.#device, length) !== length) this.close();
    return size;
  }

  close(): void {
    if (this.#readEnd >= 0) close(this.#readEnd);
    if (this.#writeEnd >= 0) close(this.#writeEnd);
    this.#readEnd = this.#writeEnd = -1;
    this.#longest = 0;
  }

  /** No larger than it is needed, since that is taken from what the user's other programs may have. */
  #grow(size: number): boolean {
    if (this.#readEnd < 0) this.#open();
    // The header takes a page, and data that does not begin with a page one more than it would fill.
    const spare = 2 * this.#pageSize;
    const held = this.#writeEnd < 0 ? -1 : setPipeSize(this.#writeEnd, size + spare);
    if (held < 0) this.#refused = size;
    else this.#longest = held - spare;
    return held >= 0;
  }

  #open(): void {
    const pipe = pipe2(O_CLOEXEC);
    if (typeof pipe === 'number') return;
    this.#readEnd = pipe.readEnd;
    this.#writeEnd = pipe.writeEnd;
  }
}
