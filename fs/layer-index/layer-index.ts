import { crc32 } from 'node:zlib';
import { type Attr, STATX } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFDIR, S_IFLNK, S_IFMT } from '../sys/constants.ts';
import { inodeNumber } from '../sys/inode-number.ts';
import { copyBytes, Memory } from '../sys/memory.ts';

// The index of a layer that does not change: every file's attributes and name, and every symlink's target, in one file
// beside the layer's directory. A union that has it asks the layer's filesystem for a file's data alone.
//
// All numbers are little-endian. A header; then the records, of one size, the root's first, a directory's children in a
// row, sorted by name; then all names, each with its length in its record; then all targets.

export const MAGIC = 'LAMINAIX';
export const VERSION = 1;

/** Byte offsets in the header. */
export const HEADER = {
  version: 8,
  count: 12,
  names: 16,
  targets: 20,
  /** CRC-32 of all behind the header. */
  crc: 24,
  /** CRC-32 of the user namespace's id maps: the owners are as they show in it. */
  ids: 28,
  /** The root's inode number and time of change. */
  ino: 32,
  ctimeSec: 40,
  ctimeNsec: 48,
  sizeof: 64,
} as const;

/** Of `struct statx`, all up to the mount's id. */
export const STAT_SIZE = STATX.mountId;

/** Byte offsets in a record, behind the file's `struct statx`. */
export const RECORD = {
  name: STAT_SIZE,
  nameLength: STAT_SIZE + 4,
  flags: STAT_SIZE + 6,
  /** Of a directory: its first child's place and how many there are. Of a symlink: where its target is, and its length. */
  first: STAT_SIZE + 8,
  length: STAT_SIZE + 12,
  sizeof: STAT_SIZE + 16,
} as const;

/** Bits of a record's `flags`. */
export const HAS_XATTRS = 1;
/** Of a directory: names in it may be AUFS's whiteouts and marks. */
export const HAS_DOT_NAMES = 2;

export const ROOT_PLACE = 0;
export const NO_PLACE = -1;

const NAME_MAX = 255;
const WORD = 4;
const DOT = 0x2e;

/** An index in memory, checked when it was read. A place is a record's number. */
export class LayerIndex {
  readonly #memory: Memory;
  readonly #names: number;
  readonly #targets: number;

  private constructor(memory: Memory, count: number) {
    this.#memory = memory;
    this.#names = HEADER.sizeof + count * RECORD.sizeof;
    this.#targets = this.#names + memory.view.getUint32(HEADER.names, true);
  }

  /**
   * Takes what a file holds, or answers why it is no index of this layer: nothing in it is believed that could lead out of
   * the layer or of the file.
   *
   * @param root the attributes of the layer's root.
   * @param ids what `idsOf` answers.
   */
  static parse(memory: Memory, root: Attr, ids: number): LayerIndex | string {
    const { view, bytes, size } = memory;
    if (size < HEADER.sizeof || bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) return 'is no index of a layer';
    if (view.getUint32(HEADER.version, true) !== VERSION) return 'is of another version';
    const count = view.getUint32(HEADER.count, true);
    const names = view.getUint32(HEADER.names, true);
    const targets = view.getUint32(HEADER.targets, true);
    if (count === 0 || HEADER.sizeof + count * RECORD.sizeof + names + targets !== size) return 'is not whole';
    if (crc32(bytes.subarray(HEADER.sizeof)) !== view.getUint32(HEADER.crc, true)) return 'is damaged';
    if (view.getUint32(HEADER.ids, true) !== ids) return 'was made with other user ids';
    const index = new LayerIndex(memory, count);
    if (!index.#isSound(count, names, targets)) return 'is malformed';
    return isOf(view, root) ? index : 'is of another layer, or of what this one was before';
  }

  #isSound(count: number, names: number, targets: number): boolean {
    const { bytes } = this.#memory;
    const all = bytes.subarray(this.#names, this.#names + names);
    if (all.includes(0) || all.includes(0x2f)) return false;
    if (bytes.subarray(this.#targets).includes(0) || this.typeOf(ROOT_PLACE) !== S_IFDIR) return false;
    // Words: a start waits for this, and a view's numbers, or a string of each name, would take it ten times as long.
    const words = new Uint32Array(this.#memory.buffer, HEADER.sizeof, (count * RECORD.sizeof) / WORD);
    let next = 1;
    for (let at = 0; at < words.length; at += RECORD.sizeof / WORD) {
      const start = words[at + RECORD.name / WORD] ?? 0;
      const length = (words[at + RECORD.nameLength / WORD] ?? 0) & 0xffff;
      if (start + length > names || length > NAME_MAX) return false;
      if (length <= 2 && at > 0 && leadsNowhere(all, start, length)) return false;
      const first = words[at + RECORD.first / WORD] ?? 0;
      const size = words[at + RECORD.length / WORD] ?? 0;
      const type = (words[at + STATX.mode / WORD] ?? 0) & S_IFMT;
      if (type === S_IFLNK && first + size > targets) return false;
      if (type !== S_IFDIR) continue;
      // Children follow each other as their directories do: so every record has one place, below the root.
      if (first !== next) return false;
      next += size;
    }
    return next === count;
  }

  /** How many files it tells of. */
  get count(): number {
    return this.#memory.view.getUint32(HEADER.count, true);
  }

  /** All of it, as it was written. */
  get bytes(): Buffer {
    return this.#memory.bytes;
  }

  #at(place: number): number {
    return HEADER.sizeof + place * RECORD.sizeof;
  }

  #u32(place: number, field: number): number {
    return this.#memory.view.getUint32(this.#at(place) + field, true);
  }

  typeOf(place: number): number {
    return this.#memory.view.getUint16(this.#at(place) + STATX.mode, true) & S_IFMT;
  }

  flags(place: number): number {
    return this.#memory.view.getUint16(this.#at(place) + RECORD.flags, true);
  }

  ino(place: number): number {
    return inodeNumber(this.#u32(place, STATX.ino), this.#u32(place, STATX.ino + 4));
  }

  /** A character device 0:0. */
  isDeviceZero(place: number): boolean {
    return this.#u32(place, STATX.rdevMajor) === 0 && this.#u32(place, STATX.rdevMinor) === 0;
  }

  name(place: number): ByteString {
    const start = this.#names + this.#u32(place, RECORD.name);
    const length = this.#memory.view.getUint16(this.#at(place) + RECORD.nameLength, true);
    return this.#memory.bytes.toString('latin1', start, start + length);
  }

  /** Places of a directory's children: from the first up to, and without, the second. */
  firstOf(directory: number): number {
    return this.#u32(directory, RECORD.first);
  }

  endOf(directory: number): number {
    return this.#u32(directory, RECORD.first) + this.#u32(directory, RECORD.length);
  }

  /** The place of a name in a directory, or NO_PLACE. */
  find(directory: number, name: ByteString): number {
    let low = this.firstOf(directory);
    let high = this.endOf(directory) - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const order = this.#compare(middle, name);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return NO_PLACE;
  }

  #compare(place: number, name: ByteString): number {
    const { view, bytes } = this.#memory;
    const start = this.#names + this.#u32(place, RECORD.name);
    const length = view.getUint16(this.#at(place) + RECORD.nameLength, true);
    for (let at = 0; at < length && at < name.length; at++) {
      const order = (bytes[start + at] ?? 0) - name.charCodeAt(at);
      if (order !== 0) return order;
    }
    return length - name.length;
  }

  /** Fills in a file's attributes; the device is as the layer's is now. */
  fill(place: number, attr: Attr, deviceMajor: number, deviceMinor: number): void {
    const at = this.#at(place);
    const from = this.#memory.view;
    for (let word = 0; word < STAT_SIZE; word += 4) attr.view.setUint32(word, from.getUint32(at + word, true), true);
    attr.view.setUint32(STATX.devMajor, deviceMajor, true);
    attr.view.setUint32(STATX.devMinor, deviceMinor, true);
  }

  /** Whether a file is still the one that was indexed, and unchanged. */
  isCurrent(place: number, attr: Attr): boolean {
    return [STATX.ino, STATX.size, STATX.mtimeSec, STATX.ctimeSec].every(
      (field) =>
        attr.view.getUint32(field, true) === this.#u32(place, field) &&
        attr.view.getUint32(field + 4, true) === this.#u32(place, field + 4),
    );
  }

  /** Writes a symlink's target at `address`, as readlink(2). */
  readTarget(place: number, address: number, size: number): number {
    const length = Math.min(size, this.#u32(place, RECORD.length));
    copyBytes(address, this.#memory.address + this.#targets + this.#u32(place, RECORD.first), length);
    return length;
  }
}

/** Whether a name of up to two bytes is empty, `.` or `..`. */
function leadsNowhere(names: Buffer, start: number, length: number): boolean {
  for (let at = start; at < start + length; at++) if (names[at] !== DOT) return false;
  return true;
}

function isOf(view: DataView, root: Attr): boolean {
  const same = (header: number, field: number): boolean =>
    view.getUint32(header, true) === root.view.getUint32(field, true);
  return (
    same(HEADER.ino, STATX.ino) &&
    same(HEADER.ino + 4, STATX.ino + 4) &&
    same(HEADER.ctimeSec, STATX.ctimeSec) &&
    same(HEADER.ctimeSec + 4, STATX.ctimeSec + 4) &&
    same(HEADER.ctimeNsec, STATX.ctimeNsec)
  );
}
