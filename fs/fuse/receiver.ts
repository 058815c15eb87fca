import { availableParallelism } from 'node:os';
import { EAGAIN } from '../sys/errno.ts';
import { preemptions } from '../sys/thread.ts';
import type { Device } from './device.ts';

/**
 * How often a read is tried before it waits: long enough for a program on another processor to get its answer and to ask
 * again. 10,000 lookups of names that are not there and opens of a file, in us each, over five layers, client and daemons
 * with real-time priority: without tries 25.6 and 31.0, with 12 25.0 and 29.4, with 40 16.6 and 19.5 (fuse-overlayfs 28.5
 * and 30.8).
 */
const TRIES = 40;
/** While reads wait at once, one of so many is tried this way, to see whether requests come fast again. */
const SAMPLE = 32;
/** The same where the one who asked last was seen to share our processor. */
const SHARED_SAMPLE = 1024;
const FULL_CREDIT = 8;
const FIRST_CREDIT = 4;
/** What a request costs that came too late; one that comes in time gives 1. */
const MISS = 3;
/** After so many requests it is looked at how often the kernel took our processor away. */
const CHECK = 16;

/**
 * Gets requests from the device. While they come fast, as from a program that asks one thing after another, a read is
 * tried a few times before it waits: to be put to sleep and woken costs more than most requests. While they do not, and
 * on a machine with a single processor, reads wait at once. One who waits for the first request of many costs nothing.
 *
 * Where the program that asks is on our own processor, because the others are busy, tries keep it from running until the
 * kernel takes the processor from us, and a wait hands it over at once. 10,000 lookups of names that are not there, on a
 * busy machine, in us each: with tries 11.2 (of ours 6.6), without 8.4 (4.1), as fuse-overlayfs.
 */
export class Receiver {
  readonly #device: Device;
  readonly #tries: number;
  /** The device's reads answer EAGAIN where they would wait. */
  #nonBlocking = false;
  #spins = false;
  #credit = 0;
  readonly #preemptions: () => number;
  /** Requests until the next look: at the preemptions while reads are tried, else whether they are to be. */
  #left = SAMPLE;
  #preempted = 0;

  /** @param preempted how often this thread was preempted so far. */
  constructor(device: Device, tries = availableParallelism() > 1 ? TRIES : 0, preempted = preemptions) {
    this.#device = device;
    this.#tries = tries;
    this.#preemptions = preempted;
  }

  /**
   * Waits for a request, and answers its length or a negative errno.
   *
   * @param timeout ms, after which the answer is EAGAIN; negative: none.
   */
  receive(address: number, capacity: number, timeout = -1): number {
    this.#setNonBlocking(this.#spins);
    if (!this.#spins || (--this.#left === 0 && this.#sharesProcessor())) return this.#wait(address, capacity, timeout);
    for (let tried = 0; tried < this.#tries; tried++) {
      const length = this.#device.read(address, capacity);
      if (length === -EAGAIN) continue;
      if (this.#credit < FULL_CREDIT) this.#credit++;
      return length;
    }
    this.#credit -= MISS;
    const waits = this.#credit > 0;
    if (!waits) this.#spin(false);
    if ((waits || timeout >= 0) && !this.#device.wait(timeout)) return -EAGAIN;
    return this.#device.read(address, capacity);
  }

  #wait(address: number, capacity: number, timeout: number): number {
    if (timeout >= 0 && !this.#device.wait(timeout)) return -EAGAIN;
    const length = this.#device.read(address, capacity);
    if (--this.#left <= 0 && this.#tries > 0) this.#spin(true);
    return length;
  }

  /** Stops trying where the kernel took the processor from us for every other request or more. */
  #sharesProcessor(): boolean {
    const before = this.#preempted;
    this.#preempted = this.#preemptions();
    this.#left = CHECK;
    if (this.#preempted - before < CHECK / 2) return false;
    this.#spin(false);
    this.#left = SHARED_SAMPLE;
    return true;
  }

  #spin(on: boolean): void {
    this.#spins = on;
    this.#credit = FIRST_CREDIT;
    this.#left = on ? CHECK : SAMPLE;
    if (on) this.#preempted = this.#preemptions();
    this.#setNonBlocking(on);
  }

  /** Answers what there is, or EAGAIN; for one who waits for other things, too. */
  poll(address: number, capacity: number): number {
    this.#setNonBlocking(true);
    return this.#device.read(address, capacity);
  }

  #setNonBlocking(on: boolean): void {
    if (this.#nonBlocking !== on) this.#device.setNonBlocking(on);
    this.#nonBlocking = on;
  }
}
