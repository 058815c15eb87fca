import { type DirectorySink, type Entry } from '../filesystem.ts';
import { type ByteString, firstPath } from '../sys/bytes.ts';
import { bindForeign } from '../sys/foreign-memory.ts';
import { Memory } from '../sys/memory.ts';
import { STAT, STAT_SIZE } from './structures.ts';

const fill = bindForeign('int fuse_fill_dir(uintptr_t buffer, uintptr_t name, uintptr_t stat, int64_t offset)');

/**
 * Entries of a directory, given to libfuse's filler one by one. Each with the offset behind it, so that libfuse asks for
 * the rest when it has sent these, and a directory of any size takes no memory.
 */
export class FillerDirectory implements DirectorySink {
  readonly plus = false;
  readonly entry: Entry;
  readonly #stat = new Memory(STAT_SIZE);
  #filler = 0;
  #buffer = 0;
  #isFull = false;

  constructor(entry: Entry) {
    this.entry = entry;
  }

  /** @param filler the function that takes the entries, with `buffer` before each. */
  begin(filler: number, buffer: number): void {
    this.#filler = filler;
    this.#buffer = buffer;
    this.#isFull = false;
  }

  /** Only the filler knows. What it refused comes again at the next offset. */
  fits(): boolean {
    return !this.#isFull;
  }

  add(name: ByteString, ino: number, type: number, next: number): void {
    const { view } = this.#stat;
    view.setUint32(STAT.ino, ino >>> 0, true);
    view.setUint32(STAT.ino + 4, Math.floor(ino / 0x100000000), true);
    view.setUint32(STAT.mode, type << 12, true);
    this.#isFull = fill(this.#filler, this.#buffer, firstPath(name), this.#stat.address, next) !== 0;
  }
}
