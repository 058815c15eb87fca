import { type ByteString } from '../sys/bytes.ts';
import { DT_DIR } from '../sys/constants.ts';

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

// Functions, as in inode-state.ts: private methods would make each entry larger.

function withBit(bits: number, bit: number, value: boolean): number {
  return value ? bits | bit : bits & ~bit;
}

function newMerged(): Merged {
  return { upperIno: 0, more: undefined };
}

/**
 * What the layers say of one name in a directory. The upper's part and the lowers' part are kept apart: what is below
 * decides whether a removal needs a whiteout and whether a new directory must be opaque.
 */
export class IndexEntry {
  /** Bits of `BIT`, the types, and above them one more than the topmost lower layer's position. */
  #bits = 0;
  /** st_ino in the topmost lower layer, or where it is in none, in the upper. */
  #ino = 0;
  #merged: Merged | undefined = undefined;
  /** Where the name is in its index's `order`. */
  place = NOWHERE;

  /** The upper layer has this name, as a file or as a whiteout. */
  get inUpper(): boolean {
    return (this.#bits & BIT.inUpper) !== 0;
  }
  set inUpper(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.inUpper, value);
  }

  /** ... as a whiteout. */
  get whiteout(): boolean {
    return (this.#bits & BIT.whiteout) !== 0;
  }
  set whiteout(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.whiteout, value);
  }

  /** ... of the form `.wh.NAME`. */
  get dotWhiteout(): boolean {
    return (this.#bits & BIT.dotWhiteout) !== 0;
  }
  set dotWhiteout(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.dotWhiteout, value);
  }

  /** A whiteout or a non-directory ended the search: layers further down do not count. */
  get sealed(): boolean {
    return (this.#bits & BIT.sealed) !== 0;
  }
  set sealed(value: boolean) {
    this.#bits = withBit(this.#bits, BIT.sealed, value);
  }

  /** DT_*. */
  get upperType(): number {
    return (this.#bits >> UPPER_TYPE) & TYPE_MASK;
  }
  set upperType(value: number) {
    this.#bits = (this.#bits & ~(TYPE_MASK << UPPER_TYPE)) | (value << UPPER_TYPE);
  }

  /** DT_*. */
  get lowerType(): number {
    return (this.#bits >> LOWER_TYPE) & TYPE_MASK;
  }
  set lowerType(value: number) {
    this.#bits = (this.#bits & ~(TYPE_MASK << LOWER_TYPE)) | (value << LOWER_TYPE);
  }

  /** Topmost lower layer in which the name is visible. */
  get lower(): number {
    return (this.#bits >> LOWER) + NOWHERE;
  }

  get upperIno(): number {
    return this.#merged?.upperIno ?? (this.lowerVisible ? 0 : this.#ino);
  }

  get lowerIno(): number {
    return this.lowerVisible ? this.#ino : 0;
  }

  /** Further lower layers that have it as a directory, and so take part in the merge. */
  get more(): readonly number[] | undefined {
    return this.#merged?.more;
  }

  /** There is such a file in the union. */
  get visible(): boolean {
    return this.inUpper ? !this.whiteout : this.lower !== NOWHERE;
  }

  /** DT_* of what is visible. */
  get type(): number {
    return this.inUpper ? this.upperType : this.lowerType;
  }

  /** A lower layer would show through if the upper had nothing here. */
  get lowerVisible(): boolean {
    return this.lower !== NOWHERE;
  }

  /** Takes in what the upper layer has. */
  addUpper(type: number, ino: number, whiteout: boolean): void {
    this.inUpper = true;
    this.whiteout = whiteout;
    this.upperType = type;
    if (this.lowerVisible) (this.#merged ??= newMerged()).upperIno = ino;
    else this.#ino = ino;
  }

  /** Takes in what the next lower layer has. */
  addLower(position: number, type: number, ino: number, whiteout: boolean): void {
    if (this.sealed) return;
    if (whiteout || (this.lower !== NOWHERE && type !== DT_DIR)) {
      this.sealed = true;
    } else if (this.lower === NOWHERE) {
      if (this.inUpper) (this.#merged ??= newMerged()).upperIno = this.#ino;
      this.#bits |= (position - NOWHERE) << LOWER;
      this.lowerType = type;
      this.#ino = ino;
      this.sealed = type !== DT_DIR;
    } else {
      const merged = (this.#merged ??= newMerged());
      merged.more = [...(merged.more ?? []), position];
    }
  }
}

/** Names that went and leave a hole in the order, from which on it is made anew where they outnumber those there. */
const HOLES = 1024;

/** All names of a merged directory, with whiteouts: a name that is not here is in no layer. */
export class DirectoryIndex {
  readonly entries = new Map<ByteString, IndexEntry>();
  /** Weight that the cache knows of. */
  weighed = 0;
  /** Open handles that list it. */
  readers = 0;
  /** Places in `order` of the file that was opened last to be read, and of the last that was begun ahead of it. */
  readTo = NOWHERE;
  aheadTo = NOWHERE;
  /** Its subdirectories were asked for before they are listed; see look-ahead.ts. */
  lookedAhead = false;
  #order: (ByteString | undefined)[] | undefined = undefined;
  #holes = 0;
  /** Visible subdirectories, but for those under names that were edited since they were counted; -1 before that. */
  #counted = -1;
  #edited: Set<ByteString> | undefined = undefined;

  get(name: ByteString): IndexEntry | undefined {
    return this.entries.get(name);
  }

  /**
   * All names, visible or not, each in a place that stays its own: one that comes is put at the end, one that goes leaves a
   * hole. So all who list the directory share it, and whoever reads up to the length that it had when he began meets no
   * name twice. Where holes become too many, later readers get another array.
   */
  get order(): readonly (ByteString | undefined)[] {
    if (this.#order === undefined) {
      this.#order = [];
      this.#holes = 0;
      for (const [name, entry] of this.entries) entry.place = this.#order.push(name) - 1;
    }
    return this.#order;
  }

  /** How many subdirectories there are. A change costs the next count no more than the names that changed. */
  get subdirectories(): number {
    const names = this.#counted < 0 ? this.entries.keys() : (this.#edited ?? []);
    let count = Math.max(0, this.#counted);
    for (const name of names) if (isSubdirectory(this.entries.get(name))) count++;
    this.#edited?.clear();
    this.#counted = count;
    return count;
  }

  /** The entry of `name`, made where there is none; the caller is about to change it. */
  edit(name: ByteString): IndexEntry {
    this.#beforeChange(name);
    let entry = this.entries.get(name);
    if (entry === undefined) {
      entry = new IndexEntry();
      this.entries.set(name, entry);
      if (this.#order !== undefined) entry.place = this.#order.push(name) - 1;
    }
    return entry;
  }

  /** The upper no longer has `name`. */
  removeUpper(name: ByteString): void {
    this.#beforeChange(name);
    const entry = this.entries.get(name);
    if (entry === undefined) return;
    entry.inUpper = false;
    entry.whiteout = false;
    entry.dotWhiteout = false;
    if (entry.lowerVisible) return;
    this.entries.delete(name);
    this.#leaveHole(entry.place);
  }

  #leaveHole(place: number): void {
    if (this.#order === undefined) return;
    this.#order[place] = undefined;
    this.#holes++;
    if (this.#holes > HOLES && this.#holes > this.entries.size) this.#order = undefined;
  }

  #beforeChange(name: ByteString): void {
    if (this.#counted < 0 || this.#edited?.has(name) === true) return;
    if (isSubdirectory(this.entries.get(name))) this.#counted--;
    this.#edited ??= new Set<ByteString>();
    this.#edited.add(name);
  }
}

function isSubdirectory(entry: IndexEntry | undefined): boolean {
  return entry?.visible === true && entry.type === DT_DIR;
}
