import { ftruncateSync, writeSync } from 'node:fs';

import { isHole } from './sparse.ts';

/** Filesystems allocate in blocks of this size. */
const BLOCK = 1 << 12;
/** Shorter runs of zeros are not worth a system call, nor the file another extent. */
const SHORTEST_HOLE = 1 << 15;
const ZEROS = Buffer.alloc(BLOCK);

/**
 * Writes a new file from its beginning, with holes in the place of long runs of zeros: an archive without sparse entries
 * has those written out.
 */
export class FileWriter {
  readonly #fd: number;
  #at = 0;
  /** Up to where there is something on disk. */
  #written = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(chunk: Uint8Array): void {
    if (!isHole(chunk)) this.#writeData(chunk);
    this.#at += chunk.length;
  }

  #writeData(chunk: Uint8Array): void {
    let from = 0;
    let zeros = 0;
    // Blocks of the file, not of the chunk: what lies before the first and after the last is written.
    for (let at = (BLOCK - (this.#at % BLOCK)) % BLOCK; at + BLOCK <= chunk.length; at += BLOCK) {
      if (ZEROS.compare(chunk, at, at + BLOCK) === 0) {
        zeros += BLOCK;
      } else {
        from = this.#skip(chunk, from, at, zeros);
        zeros = 0;
      }
    }
    const end = chunk.length - ((this.#at + chunk.length) % BLOCK);
    from = this.#skip(chunk, from, end, zeros);
    this.#writeAt(chunk, from, chunk.length);
  }

  /** Leaves out the zeros that end at `at`, where they are many. Answers from where on is to be written. */
  #skip(chunk: Uint8Array, from: number, at: number, zeros: number): number {
    if (zeros < SHORTEST_HOLE) return from;
    this.#writeAt(chunk, from, at - zeros);
    return at;
  }

  #writeAt(chunk: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to;) at += writeSync(this.#fd, chunk, at, to - at, this.#at + at);
    if (to > from) this.#written = this.#at + to;
  }

  /** Gives the file its length, where a hole ends it. */
  finish(): void {
    if (this.#written < this.#at) ftruncateSync(this.#fd, this.#at);
  }
}
