import { DEFERRED } from '../filesystem.ts';
import { isCached } from '../sys/cached-data.ts';
import { close } from '../sys/file.ts';
import { type FileOffset } from '../sys/file-offset.ts';
import { duplicate } from '../sys/process.ts';
import { PENDING, type SlowLane } from './slow-lane.ts';
import { Slowness } from './slowness.ts';

// A read of what is not in memory waits for a disk, and so would everybody else. A quick disk answers sooner than another
// thread takes to be woken, and more sooner than it takes to be told: such waits are borne. Once a read has waited for long,
// as on a rotating disk or a network, what is not in memory is read by the slow lane first.

/** Milliseconds that no read from a quick disk takes, though others use the processor, too. */
const LONG = 5;
/** Reads that are looked at after one. */
const LOOKED_AT = 256;

interface Reading {
  readonly job: number;
  readonly fd: number;
  /** It has come to its end, and nobody has asked for that yet. */
  isOver: boolean;
}

export class SlowReads {
  readonly #slowness = new Slowness(LONG, LOOKED_AT);
  readonly #readings = new Map<string, Reading>();

  /** Whether reads may wait for long. */
  get expected(): boolean {
    return this.#slowness.isExpected || this.#readings.size > 0;
  }

  /** @param milliseconds that a read took which nobody had looked at. */
  took(milliseconds: number): void {
    this.#slowness.waited(milliseconds);
  }

  /** Answers 0 once the data can be read without waiting, or as well as ever; DEFERRED before that. */
  await(lane: SlowLane, fd: number, offset: FileOffset, length: number): number {
    const key = `${fd} ${offset} ${length}`;
    const reading = this.#readings.get(key);
    if (reading === undefined) return this.#begin(lane, key, fd, offset, length);
    if (!isOver(lane, reading)) return DEFERRED;
    this.#end(key, reading);
    return 0;
  }

  /** After the lane. */
  close(): void {
    for (const { fd } of this.#readings.values()) close(fd);
    this.#readings.clear();
  }

  #begin(lane: SlowLane, key: string, fd: number, offset: FileOffset, length: number): number {
    this.#slowness.spared();
    this.#sweep(lane);
    if (typeof offset === 'bigint' || isCached(fd, offset, length)) return 0;
    // The file may be closed, and its number be another's, before the lane comes to it.
    const own = duplicate(fd);
    if (own < 0) return 0;
    const job = lane.read(own, offset, length);
    if (job < 0) close(own);
    else this.#readings.set(key, { job, fd: own, isOver: false });
    return job < 0 ? 0 : DEFERRED;
  }

  /** Ends those that nobody came back for: the file that they were read through was closed meanwhile, and opened anew. */
  #sweep(lane: SlowLane): void {
    for (const [key, reading] of this.#readings) {
      if (reading.isOver) this.#end(key, reading);
      else isOver(lane, reading);
    }
  }

  #end(key: string, { fd }: Reading): void {
    this.#readings.delete(key);
    close(fd);
  }
}

function isOver(lane: SlowLane, reading: Reading): boolean {
  reading.isOver ||= lane.take(reading.job) !== PENDING;
  return reading.isOver;
}
