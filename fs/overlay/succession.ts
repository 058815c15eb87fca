import { type ByteString } from '../sys/bytes.ts';
import { DT_REG, S_IFREG } from '../sys/constants.ts';
import { type DirectoryIndex } from './directory-index.ts';
import { type Inode } from './inode.ts';
import { type Union } from './union.ts';

/** Names that are passed over, at most, to find the next file: those of directories, symlinks and what is there already. */
const REACH = 64;
/** Entries of the largest directory whose names are put in order for this. */
const MOST_SORTED = 65_536;

/** Orders in which programs go through a directory: as it is listed (`chown -R`), or by name (a shell's `*`). */
const ORDER = { listed: 0, sorted: 1 } as const;
type Order = (typeof ORDER)[keyof typeof ORDER];

type Names = readonly (ByteString | undefined)[];

/** Which file comes next where files are gone through one after the other. */
export class Succession {
  #order: Order = ORDER.listed;
  #last: Inode | undefined = undefined;
  /** The names in order of the directory that was sorted last. */
  #sorted: Names = [];
  #sortedOf: DirectoryIndex | undefined = undefined;

  /** Whether `inode` comes next after the one that was noted last; undefined where that is in another directory. */
  isNext(union: Union, inode: Inode): boolean | undefined {
    const last = this.#last;
    if (last === undefined || last.parent !== inode.parent) return undefined;
    if (this.next(union, last) === inode) return true;
    const former = this.#order;
    this.#order = former === ORDER.listed ? ORDER.sorted : ORDER.listed;
    if (this.next(union, last) === inode) return true;
    this.#order = former;
    return false;
  }

  note(inode: Inode): void {
    this.#last = inode;
  }

  /** The next file in the order of those before, a regular one in a lower layer that the kernel knows. */
  next(union: Union, { parent, name }: Inode): Inode | undefined {
    const index = parent === undefined ? undefined : union.indexes.peek(parent);
    if (parent === undefined || index === undefined) return undefined;
    const place = this.#placeOf(index, name);
    return place < 0 ? undefined : findFrom(parent, this.#namesOf(index), place + 1, isAhead);
  }

  /** The first such file of a directory. */
  first(union: Union, directory: Inode): Inode | undefined {
    const index = union.indexes.peek(directory);
    return index === undefined ? undefined : findFrom(directory, this.#namesOf(index), 0, isAhead);
  }

  /** Names of a directory's first files, if they are in lower layers alone; the kernel need not know them. */
  firstNames(index: DirectoryIndex, most: number): ByteString[] {
    const found: ByteString[] = [];
    const names = this.#namesOf(index);
    for (let at = 0; at < REACH && at < names.length && found.length < most; at++) {
      const name = names[at] ?? '';
      const entry = index.get(name);
      if (entry?.visible === true && !entry.inUpper && entry.type === DT_REG) found.push(name);
    }
    return found;
  }

  /** The directory that comes after one that was listed: one in it, or else the next in those above. */
  directoryAfter(union: Union, directory: Inode): Inode | undefined {
    let found = this.#directoryIn(union, directory, undefined);
    for (let at = directory; found === undefined && at.parent !== undefined; at = at.parent)
      found = this.#directoryIn(union, at.parent, at.name);
    return found;
  }

  #directoryIn(union: Union, directory: Inode, after: ByteString | undefined): Inode | undefined {
    const index = union.indexes.peek(directory);
    if (index === undefined) return undefined;
    const place = after === undefined ? -1 : this.#placeOf(index, after);
    if (after !== undefined && place < 0) return undefined;
    return findFrom(directory, this.#namesOf(index), place + 1, (inode) => inode.isDirectory);
  }

  forget(): void {
    this.#last = undefined;
    this.#sorted = [];
    this.#sortedOf = undefined;
  }

  /** Where a name is among those of a directory, or -1. */
  #placeOf(index: DirectoryIndex, name: ByteString): number {
    return this.#order === ORDER.listed ? (index.get(name)?.place ?? -1) : placeOf(this.#sort(index), name);
  }

  #namesOf(index: DirectoryIndex): Names {
    return this.#order === ORDER.listed ? index.order : this.#sort(index);
  }

  #sort(index: DirectoryIndex): Names {
    if (index === this.#sortedOf) return this.#sorted;
    this.#sortedOf = index;
    this.#sorted = index.size > MOST_SORTED ? [] : index.order.filter((name) => name !== undefined).sort();
    return this.#sorted;
  }
}

/** Where a name is among `names`, which are in order. */
function placeOf(names: Names, name: ByteString): number {
  let [low, high] = [0, names.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const found = names[middle] ?? '';
    if (found === name) return middle;
    if (found < name) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

function findFrom(
  { children }: Inode,
  names: Names,
  start: number,
  isWanted: (inode: Inode) => boolean,
): Inode | undefined {
  for (let at = start; at < start + REACH && at < names.length; at++) {
    const next = children?.get(names[at] ?? '');
    if (next !== undefined && isWanted(next)) return next;
  }
  return undefined;
}

function isAhead(inode: Inode): boolean {
  return inode.type === S_IFREG && !inode.isUpper && inode.copying === undefined;
}
