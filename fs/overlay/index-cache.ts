import { LRUCache } from 'lru-cache';
import { type DirectoryIndex } from './directory-index.ts';
import { type Inode } from './inode.ts';
import { COUNTER } from './options.ts';

/** Weight of an index beside its entries: a small directory is not free. */
const BASE_WEIGHT = 8;

/** The hot lookup cache: the merged indexes of the directories used last, bounded by the entries they hold. */
export class IndexCache {
  readonly #cache: LRUCache<Inode, DirectoryIndex>;
  readonly #counters: Float64Array;
  /** Largest index that is kept: a bigger one would push out everything else. */
  readonly maxEntries: number;

  constructor(maxEntries: number, counters: Float64Array) {
    this.#counters = counters;
    this.maxEntries = Math.max(Math.floor(maxEntries / 4), 16);
    this.#cache = new LRUCache<Inode, DirectoryIndex>({
      maxSize: Math.max(maxEntries, 64),
      sizeCalculation: (index) => index.size + BASE_WEIGHT,
      dispose: (_index, _inode, reason) => {
        if (reason === 'evict') this.#count(COUNTER.cacheEvictions);
      },
    });
  }

  get(directory: Inode): DirectoryIndex | undefined {
    const index = this.#cache.get(directory);
    this.#count(index === undefined ? COUNTER.cacheMisses : COUNTER.cacheHits);
    return index;
  }

  /** As `get`, without counting or renewing: for the upkeep of an index that may be there. */
  peek(directory: Inode): DirectoryIndex | undefined {
    return directory.listed ?? this.#cache.peek(directory);
  }

  set(directory: Inode, index: DirectoryIndex): void {
    index.weighed = index.size + BASE_WEIGHT;
    // The cache weighs anew only what it does not have.
    this.#cache.delete(directory);
    this.#cache.set(directory, index);
    this.#counters[COUNTER.cacheSize] = this.#cache.calculatedSize;
  }

  /** After names came in: an index that has grown is weighed again, and one too large for the cache given up. */
  grown(directory: Inode, index: DirectoryIndex): void {
    if (directory.tooLarge || index.size < 2 * index.weighed) return;
    if (index.size > this.maxEntries) {
      directory.tooLarge = true;
      this.#cache.delete(directory);
    } else {
      this.set(directory, index);
    }
  }

  drop(directory: Inode): void {
    directory.listed = undefined;
    this.#cache.delete(directory);
  }

  #count(counter: number): void {
    this.#counters[counter] = (this.#counters[counter] ?? 0) + 1;
  }
}
