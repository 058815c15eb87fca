import { type DirectorySink } from '../filesystem.ts';
import { type Inode } from './inode.ts';
import { type Listing, addEntries, foresee, indexToList } from './read-directory.ts';
import { type Union } from './union.ts';

// Directories that are read without being opened (FUSE_NO_OPENDIR_SUPPORT): neither the beginning nor the end of it is
// told. All who read a directory share its listing, of which the last ones that were begun and not read to their end are
// kept: one that had to go is made anew, which gives the same order where the directory is the same.

/** Offsets have the number of the order that they are a place in above this. */
const ORDERS = 2 ** 32;
/** Order numbers are used again after so many: an offset has to be exact. */
const ORDER_NUMBERS = 2 ** 20;

/** Listings at most that are kept for readers who may have gone. */
const KEPT = 256;

/** The names of a directory for all who read it. */
export class SharedListing {
  current: Listing;
  #number = 0;
  /** For those who began before the index made its order anew. */
  #former: Listing | undefined = undefined;
  /** Who began and has not come to the end. */
  readers = 0;

  constructor(listing: Listing) {
    this.current = listing;
  }

  /** Somebody begins: by what the index has now. */
  begin(listing: Listing): void {
    this.readers++;
    const { current } = this;
    if (listing.order !== current.order) {
      this.#former = current;
      this.#number = (this.#number + 1) % ORDER_NUMBERS;
    }
    this.current = listing;
  }

  get base(): number {
    return this.#number * ORDERS;
  }

  /** The names that an offset is a place in. */
  at(base: number): Listing {
    return base === this.base ? this.current : (this.#former ?? this.current);
  }
}

/** Gives the entries of a directory from `offset` on, as `readEntries`. */
export function readUnopened(union: Union, inode: Inode, offset: number, sink: DirectorySink): number {
  if (inode.unlinked) return 0;
  const known = offset === 0 ? undefined : union.listings.get(inode);
  const listing = known ?? begin(union, inode);
  if (typeof listing === 'number') return listing;
  const base = Math.floor(offset / ORDERS) * ORDERS;
  const from = offset === 0 ? listing.base : base;
  const names = listing.at(from);
  if (!addEntries(union, inode, names, from, offset - base, sink)) end(union, inode, listing);
  if (offset === 0) foresee(union, inode, names.index);
  return 0;
}

function begin(union: Union, inode: Inode): SharedListing | number {
  const index = indexToList(union, inode);
  if (typeof index === 'number') return index;
  const names = { index, order: index.order, end: index.order.length };
  const known = union.listings.get(inode);
  const listing = known?.current.index === index ? known : keep(union, inode, new SharedListing(names));
  listing.begin(names);
  inode.listed = index;
  return listing;
}

function keep(union: Union, inode: Inode, listing: SharedListing): SharedListing {
  const { listings } = union;
  listings.delete(inode);
  listings.set(inode, listing);
  const [oldest] = listings.keys();
  if (listings.size > KEPT && oldest !== undefined) drop(union, oldest);
  return listing;
}

function end(union: Union, inode: Inode, listing: SharedListing): void {
  listing.readers--;
  if (listing.readers <= 0) drop(union, inode);
}

function drop(union: Union, inode: Inode): void {
  inode.listed = undefined;
  union.listings.delete(inode);
}
