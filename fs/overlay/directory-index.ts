import { type ByteString } from '../sys/bytes.ts';
import { DT_DIR } from '../sys/constants.ts';
import { withBit } from './with-bit.ts';

/** Position of the upper layer in a directory's stack; lower layers have 1, 2, ... top first. */
export const UPPER = 0;
/** In no layer. */
const NOWHERE = -1;

// An entry takes few words, as there may be hundreds of thousands.
const BIT = { inUpper: 1, whiteout: 2, dotWhiteout: 4, sealed: 8 } as const;
const UPPER_TYPE = 4;
const LOWER_TYPE = 8;
const TYPE_MASK = 0xf;
const LOWER = 12;

/** What few entries have: those that are in the upper and below, or in several lower layers. */
interface Merged {
  upperIno: number;
  more: readonly number[] | undefined;
}

/**
 * What is known of names, each in a place of its own. An object for each would take twice the memory, of what may be a
 * quarter of a million in the cache.
 */
class EntryStore {
  /** Bits of `BIT`, the types, and above them one more than the topmost lower layer's position. */
  bits: number[] = [];
  /** st_ino in the topmost lower layer, or where it is in none, in the upper. */
  inos: number[] = [];
  readonly #merged = new Map<number, Merged>();

  /** Makes a place that holds nothing as yet. */
  add(): number {
    this.inos.push(0);
    return this.bits.push(0) - 1;
  }

  bitsAt(place: number): number {
    return this.bits[place] ?? 0;
  }

  inoAt(place: number): number {
    return this.inos[place] ?? 0;
  }

  mergedAt(place: number): Merged | undefined {
    return this.#merged.size === 0 ? undefined : this.#merged.get(place);
  }

  mergeAt(place: number): Merged {
    let merged = this.#merged.get(place);
    if (merged === undefined) {
      merged = { upperIno: 0, more: undefined };
      this.#merged.set(place, merged);
    }
    return merged;
  }

  /** Takes what another one holds in a place into a place of its own. */
  take(other: EntryStore, place: number): void {
    const merged = other.mergedAt(place);
    if (merged !== undefined) this.#merged.set(this.bits.length, merged);
    this.bits.push(other.bits[place] ?? 0);
    this.inos.push(other.inos[place] ?? 0);
  }

  /** Gives back what the arrays have beyond their ends, to grow. */
  trim(): void {
    this.bits = this.bits.slice();
    this.inos = this.inos.slice();
  }
}

/** As `BIT` has it. */
function isShown(bits: number): boolean {
  return (bits & BIT.inUpper) === 0 ? bits >> LOWER !== 0 : (bits & BIT.whiteout) === 0;
}

/** DT_* of what is visible. */
function shownType(bits: number): number {
  return (bits >> ((bits & BIT.inUpper) === 0 ? LOWER_TYPE : UPPER_TYPE)) & TYPE_MASK;
}

/**
 * What the layers say of one name in a directory. The upper's part and the lowers' part are kept apart: what is below
 * decides whether a removal needs a whiteout and whether a new directory must be opaque.
 *
 * It is a view, made for who asks.
 */
export class IndexEntry {
  readonly #store: EntryStore;
  /** Where the name is in its index's `order`. */
  readonly place: number;

  constructor(store = new EntryStore(), place = store.add()) {
    this.#store = store;
    this.place = place;
  }

  /** The upper layer has this name, as a file or as a whiteout. */
  get inUpper(): boolean {
    return (this.#store.bitsAt(this.place) & BIT.inUpper) !== 0;
  }

  /** ... as a whiteout. */
  get whiteout(): boolean {
    return (this.#store.bitsAt(this.place) & BIT.whiteout) !== 0;
  }

  /** ... of the form `.wh.NAME`. */
  get dotWhiteout(): boolean {
    return (this.#store.bitsAt(this.place) & BIT.dotWhiteout) !== 0;
  }
  set dotWhiteout(value: boolean) {
    const { bits } = this.#store;
    bits[this.place] = withBit(bits[this.place] ?? 0, BIT.dotWhiteout, value);
  }

  /** A whiteout or a non-directory ended the search: layers further down do not count. */
  get sealed(): boolean {
    return (this.#store.bitsAt(this.place) & BIT.sealed) !== 0;
  }
  set sealed(value: boolean) {
    const { bits } = this.#store;
    bits[this.place] = withBit(bits[this.place] ?? 0, BIT.sealed, value);
  }

  /** DT_*. */
  get upperType(): number {
    return (this.#store.bitsAt(this.place) >> UPPER_TYPE) & TYPE_MASK;
  }

  /** DT_*. */
  get lowerType(): number {
    return (this.#store.bitsAt(this.place) >> LOWER_TYPE) & TYPE_MASK;
  }

  /** Topmost lower layer in which the name is visible. */
  get lower(): number {
    return (this.#store.bitsAt(this.place) >> LOWER) + NOWHERE;
  }

  get upperIno(): number {
    const merged = this.#store.mergedAt(this.place);
    return merged?.upperIno ?? (this.lowerVisible ? 0 : this.#store.inoAt(this.place));
  }

  get lowerIno(): number {
    return this.lowerVisible ? this.#store.inoAt(this.place) : 0;
  }

  /** Further lower layers that have it as a directory, and so take part in the merge. */
  get more(): readonly number[] | undefined {
    return this.#store.mergedAt(this.place)?.more;
  }

  /** There is such a file in the union. */
  get visible(): boolean {
    return isShown(this.#store.bitsAt(this.place));
  }

  /** DT_* of what is visible. */
  get type(): number {
    return shownType(this.#store.bitsAt(this.place));
  }

  /** A lower layer would show through if the upper had nothing here. */
  get lowerVisible(): boolean {
    return this.#store.bitsAt(this.place) >> LOWER !== 0;
  }

  /** Takes in what the upper layer has. */
  addUpper(type: number, ino: number, whiteout: boolean): void {
    const { bits, inos } = this.#store;
    const before = bits[this.place] ?? 0;
    const others = before & ~(TYPE_MASK << UPPER_TYPE);
    bits[this.place] = withBit(others, BIT.whiteout, whiteout) | BIT.inUpper | (type << UPPER_TYPE);
    if (before >> LOWER === 0) inos[this.place] = ino;
    else this.#store.mergeAt(this.place).upperIno = ino;
  }

  /** The upper layer has nothing here any more. */
  dropUpper(): void {
    const { bits } = this.#store;
    bits[this.place] = (bits[this.place] ?? 0) & ~(BIT.inUpper | BIT.whiteout | BIT.dotWhiteout);
  }

  /** Takes in what the next lower layer has. */
  addLower(position: number, type: number, ino: number, whiteout: boolean): void {
    const { bits, inos } = this.#store;
    const before = bits[this.place] ?? 0;
    const isVisible = before >> LOWER !== 0;
    if ((before & BIT.sealed) !== 0) return;
    if (whiteout || (isVisible && type !== DT_DIR)) {
      bits[this.place] = before | BIT.sealed;
    } else if (!isVisible) {
      if ((before & BIT.inUpper) !== 0) this.#store.mergeAt(this.place).upperIno = this.#store.inoAt(this.place);
      const others = before & ~(TYPE_MASK << LOWER_TYPE);
      const found = ((position - NOWHERE) << LOWER) | (type << LOWER_TYPE);
      bits[this.place] = withBit(others, BIT.sealed, type !== DT_DIR) | found;
      inos[this.place] = ino;
    } else {
      const merged = this.#store.mergeAt(this.place);
      merged.more = [...(merged.more ?? []), position];
    }
  }
}

/** Names that went and left a hole, from which on all is made anew where they outnumber those there. */
const HOLES = 1024;

/** All names of a merged directory, with whiteouts: a name that is not here is in no layer. */
export class DirectoryIndex {
  readonly #places = new Map<ByteString, number>();
  #store = new EntryStore();
  #order: (ByteString | undefined)[] = [];
  #holes = 0;
  /** Weight that the cache knows of. */
  weighed = 0;
  /** Open handles that list it. */
  readers = 0;
  /** Places in `order` of the file that was opened last to be read, and of the last that was begun ahead of it. */
  readTo = NOWHERE;
  aheadTo = NOWHERE;
  /** Its subdirectories were asked for before they are listed; see look-ahead.ts. */
  lookedAhead = false;
  /** Visible subdirectories, but for those under names that were edited since they were counted; -1 before that. */
  #counted = -1;
  #edited: Set<ByteString> | undefined = undefined;

  /** How many names there are, visible or not. */
  get size(): number {
    return this.#places.size;
  }

  get(name: ByteString): IndexEntry | undefined {
    const place = this.#places.get(name);
    return place === undefined ? undefined : new IndexEntry(this.#store, place);
  }

  *[Symbol.iterator](): Generator<[name: ByteString, entry: IndexEntry]> {
    for (const [name, place] of this.#places) yield [name, new IndexEntry(this.#store, place)];
  }

  /**
   * All names, visible or not, each in a place that stays its own: one that comes is put at the end, one that goes leaves a
   * hole. So all who list the directory share it, and whoever reads up to the length that it had when he began meets no
   * name twice. Where holes become too many, later readers get another array.
   */
  get order(): readonly (ByteString | undefined)[] {
    return this.#order;
  }

  /** To be called when all names are there, of which later ones are few. Nobody has `order` yet. */
  trim(): void {
    this.#order = this.#order.slice();
    this.#store.trim();
  }

  /** How many subdirectories there are. A change costs the next count no more than the names that changed. */
  get subdirectories(): number {
    const names = this.#counted < 0 ? this.#places.keys() : (this.#edited ?? []);
    let count = Math.max(0, this.#counted);
    for (const name of names) if (this.#isSubdirectory(name)) count++;
    this.#edited?.clear();
    this.#counted = count;
    return count;
  }

  /** The entry of `name`, made where there is none; the caller is about to change it. */
  edit(name: ByteString): IndexEntry {
    this.#beforeChange(name);
    let place = this.#places.get(name);
    if (place === undefined) {
      place = this.#store.add();
      this.#places.set(name, place);
      this.#order.push(name);
    }
    return new IndexEntry(this.#store, place);
  }

  /** The upper no longer has `name`. */
  removeUpper(name: ByteString): void {
    this.#beforeChange(name);
    const entry = this.get(name);
    if (entry === undefined) return;
    entry.dropUpper();
    if (entry.lowerVisible) return;
    this.#places.delete(name);
    this.#order[entry.place] = undefined;
    this.#holes++;
    if (this.#holes > HOLES && this.#holes > this.size) this.#fillHoles();
  }

  /** Gives names other places. Who has an entry, or `order`, keeps it as it is. */
  #fillHoles(): void {
    const former = this.#store;
    this.#store = new EntryStore();
    this.#order = [];
    this.#holes = 0;
    for (const [name, place] of this.#places) {
      this.#store.take(former, place);
      this.#places.set(name, this.#order.push(name) - 1);
    }
  }

  #beforeChange(name: ByteString): void {
    if (this.#counted < 0 || this.#edited?.has(name) === true) return;
    if (this.#isSubdirectory(name)) this.#counted--;
    this.#edited ??= new Set<ByteString>();
    this.#edited.add(name);
  }

  #isSubdirectory(name: ByteString): boolean {
    const place = this.#places.get(name);
    if (place === undefined) return false;
    const bits = this.#store.bitsAt(place);
    return isShown(bits) && shownType(bits) === DT_DIR;
  }
}
