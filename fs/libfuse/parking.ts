import { read } from '../sys/file.ts';
import { untilReadable, waitUntilReadable } from '../sys/event.ts';
import { Memory } from '../sys/memory.ts';

const count = new Memory(8);

/** Requests that the filesystem has put off, until it says that they may be made again. */
export class Parking {
  readonly #completions: number;
  #parked: (() => void)[] = [];
  #watching = false;

  /** @param completions what `FileSystem.allowDeferral` answered. */
  constructor(completions: number) {
    this.#completions = completions;
  }

  park(retry: () => void): void {
    this.#parked.push(retry);
    if (!this.#watching) void this.#watch();
  }

  /** Waits for the next one of all, with this thread. */
  wait(): void {
    waitUntilReadable(this.#completions);
    this.#empty();
    // It may have been another's.
    if (this.#parked.length > 0) setImmediate(() => this.#resume());
  }

  async #watch(): Promise<void> {
    this.#watching = true;
    while (this.#parked.length > 0) {
      await untilReadable(this.#completions);
      this.#empty();
      this.#resume();
    }
    this.#watching = false;
  }

  #empty(): void {
    read(this.#completions, count.address, count.size);
  }

  /** Those that still have to wait park themselves once more. */
  #resume(): void {
    const parked = this.#parked;
    this.#parked = [];
    for (const retry of parked) retry();
  }
}
