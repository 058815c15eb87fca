import { type Limits, overLimit } from './limits.ts';
import { type PaxRecords, parsePax, parsePaxNumber } from './pax.ts';
import { OldSparseMap, type SparseFile, sparseFromPax } from './sparse.ts';
import { readNumber, readOctal } from './tar-numbers.ts';

const BLOCK = 512;
const CHECKSUM_START = 148;
const CHECKSUM_END = 156;
const SIZE = 124;
const SIZE_LENGTH = 12;
const MTIME = 136;
const TYPE = 156;

// Headers that belong to the entry after them.
const PAX = 0x78; // x
const GLOBAL_PAX = 0x67; // g
const LONG_LINK = 0x4b; // K
const LONG_NAME = 0x4c; // L
const OLD_LONG_NAME = 0x4e; // N
const DIRECTORY = 0x35; // 5
const FILE = 0x30; // 0
const OLD_SPARSE = 0x53; // S

/** What one header of an archive says, read from its own bytes. */
export interface Frame {
  /** The type flag; 0 and `0` both stand for a regular file. */
  readonly type: number;
  /** Bytes of data that follow. */
  readonly size: number;
  /** Seconds since 1970; NaN where it is no number. */
  readonly mtime: number;
  readonly pax: PaxRecords | undefined;
  readonly sparse: SparseFile | undefined;
}

type State = 'header' | 'extension' | 'attached' | 'skip';

/**
 * Follows an archive's bytes on their way to the tar parser. It knows what the parser does not tell: PAX records as
 * bytes, where the archive ends (the parser would read on after the end marker), and whether a size is one that every
 * reader takes for the same number. The two must agree on every entry, or the archive is refused: a file whose
 * reading depends on the reader is how things are smuggled in.
 */
export class TarFrames {
  readonly #limits: Limits;
  readonly #frames: Frame[] = [];
  readonly #header = Buffer.alloc(BLOCK);
  #state: State = 'header';
  #filled = 0;
  /** Bytes left of what is skipped, or of an attached header's body with its padding. */
  #left = 0;
  #attachedType = 0;
  #attachedSize = 0;
  #attached: Buffer[] = [];
  #attachedTotal = 0;
  #pax: PaxRecords | undefined;
  /** Bodies of GNU long names, by type. */
  readonly #longNames = new Map<number, string>();
  #sparse: OldSparseMap | undefined;
  readonly #extension = Buffer.alloc(BLOCK);
  /** What of the chunk goes to the parser, and up to where the chunk has been looked at for that. */
  #parts: Uint8Array[] = [];
  #passed = 0;
  #zeroBlocks = 0;
  #isFirst = true;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Both blocks of zeros that end an archive have been seen. */
  get ended(): boolean {
    return this.#zeroBlocks >= 2;
  }

  /** Nothing of an entry is missing so far. */
  get isWhole(): boolean {
    return this.ended || (this.#state === 'header' && this.#filled === 0);
  }

  /** The next entry's frame, in the archive's order. */
  shift(): Frame {
    const frame = this.#frames.shift();
    if (frame === undefined) throw new Error('tar header is ambiguous: its readers would disagree about it');
    return frame;
  }

  /**
   * Follows `chunk` and answers what the parser is to have of it: all before the archive's end, but for sparse files of the
   * old GNU format, which it does not know. Their maps are left out, and their headers made those of other files.
   */
  push(chunk: Uint8Array): readonly Uint8Array[] {
    this.#parts = [];
    this.#passed = 0;
    let at = 0;
    while (at < chunk.length && !this.ended) at = this.#step(chunk, at);
    this.#pass(chunk, at);
    return this.#parts;
  }

  #step(chunk: Uint8Array, at: number): number {
    switch (this.#state) {
      case 'header':
        return this.#takeHeader(chunk, at);
      case 'extension':
        return this.#takeExtension(chunk, at);
      case 'attached':
        return this.#takeAttached(chunk, at);
      case 'skip':
        return this.#skip(chunk, at);
    }
  }

  #pass(chunk: Uint8Array, to: number): void {
    if (to > this.#passed) this.#parts.push(chunk.subarray(this.#passed, to));
    this.#passed = to;
  }

  /** Passes what lies before `from`, and keeps back what lies between. */
  #keepBack(chunk: Uint8Array, from: number, to: number): void {
    this.#pass(chunk, from);
    this.#passed = to;
  }

  #fill(block: Buffer, chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + BLOCK - this.#filled);
    block.set(chunk.subarray(at, end), this.#filled);
    this.#filled = (this.#filled + end - at) % BLOCK;
    return end;
  }

  #takeHeader(chunk: Uint8Array, at: number): number {
    const isWhole = this.#filled === 0 && chunk.length - at >= BLOCK;
    const end = this.#fill(this.#header, chunk, at);
    const isApart = !isWhole || this.#header[TYPE] === OLD_SPARSE;
    if (isApart) this.#keepBack(chunk, at, end);
    if (this.#filled > 0) return end;
    this.#readHeader();
    if (isApart && this.#state !== 'extension') this.#parts.push(Buffer.from(this.#header));
    return end;
  }

  #takeExtension(chunk: Uint8Array, at: number): number {
    const end = this.#fill(this.#extension, chunk, at);
    this.#keepBack(chunk, at, end);
    if (this.#filled > 0) return end;
    this.#countAttached(BLOCK, 'a map of a sparse file');
    this.#sparse?.extend(this.#extension);
    this.#finishSparse();
    return end;
  }

  #readHeader(): void {
    const header = this.#header;
    if (isZero(header)) {
      this.#zeroBlocks += 1;
      return;
    }
    this.#zeroBlocks = 0;
    checkSum(header, this.#isFirst);
    this.#isFirst = false;
    const type = header[TYPE] ?? 0;
    const size = readSize(header);
    if (type === PAX || type === GLOBAL_PAX || type === LONG_NAME || type === LONG_LINK || type === OLD_LONG_NAME) {
      this.#startAttached(type, size);
    } else if (type === OLD_SPARSE) {
      this.#startSparse(size);
    } else {
      this.#finishEntry(type, size);
    }
  }

  #startSparse(size: number): void {
    this.#sparse = new OldSparseMap(this.#header, size);
    this.#header.writeUInt8(FILE, TYPE);
    const sum = sumOf(this.#header);
    this.#header.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM_START, 'latin1');
    this.#finishSparse();
  }

  #finishSparse(): void {
    const sparse = this.#sparse;
    if (sparse === undefined) return;
    if (sparse.isExtended) {
      this.#state = 'extension';
      return;
    }
    this.#sparse = undefined;
    // The header waited for its map; where there was none, whoever took the header passes it on.
    if (this.#state === 'extension') this.#parts.push(Buffer.from(this.#header));
    this.#finishEntry(OLD_SPARSE, readSize(this.#header), sparse.finish());
  }

  // Several headers may stand before one entry; together they get no more room than one.
  #countAttached(size: number, what: string): void {
    this.#attachedTotal += size;
    if (this.#attachedTotal > this.#limits.paxBytes) {
      throw overLimit(`${what} of ${this.#attachedTotal} bytes`, this.#limits, 'pax-size');
    }
  }

  #startAttached(type: number, size: number): void {
    // tar-stream loses its place after an empty one, and nobody writes such.
    if (size === 0) throw new Error('a PAX header or long name is empty');
    this.#countAttached(size, 'a PAX header or long name');
    this.#attachedType = type;
    this.#attachedSize = size;
    this.#left = padded(size);
    this.#state = 'attached';
  }

  #takeAttached(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    this.#attached.push(Buffer.from(chunk.subarray(at, end)));
    this.#left -= end - at;
    if (this.#left === 0) this.#readAttached();
    return end;
  }

  #readAttached(): void {
    const body = Buffer.concat(this.#attached).toString('latin1', 0, this.#attachedSize);
    this.#attached = [];
    this.#state = 'header';
    if (this.#attachedType === PAX) this.#pax = parsePax(body);
    else if (this.#attachedType !== GLOBAL_PAX) this.#addLongName(this.#attachedType, body);
    else checkGlobal(body);
  }

  #addLongName(type: number, body: string): void {
    const kind = type === OLD_LONG_NAME ? LONG_NAME : type;
    if (this.#longNames.has(kind)) throw new Error('two long names stand before one entry');
    this.#longNames.set(kind, body.split('\0', 1)[0] ?? '');
  }

  #finishEntry(type: number, headerSize: number, old?: SparseFile): void {
    const pax = this.#pax;
    const paxSize = pax?.get('size');
    const size = paxSize === undefined || paxSize === '' ? headerSize : parsePaxNumber(paxSize, 'size');
    this.#checkNames();
    const mtime = readNumber(this.#header, MTIME, SIZE_LENGTH);
    this.#frames.push({ type, size, mtime, pax, sparse: this.#sparseOf(size, old) });
    this.#pax = undefined;
    this.#attachedTotal = 0;
    this.#left = type === DIRECTORY ? 0 : padded(size);
    this.#state = this.#left === 0 ? 'header' : 'skip';
  }

  #sparseOf(size: number, old: SparseFile | undefined): SparseFile | undefined {
    const own = this.#pax === undefined ? undefined : sparseFromPax(this.#pax, size);
    if (old !== undefined && (own !== undefined || old.packed !== size)) {
      throw new Error('a sparse file has two maps or sizes: its readers would disagree about it');
    }
    return old ?? own;
  }

  /** Of a PAX name and a GNU one, one reader takes this, another that. */
  #checkNames(): void {
    for (const [key, type] of [
      ['path', LONG_NAME],
      ['linkpath', LONG_LINK],
    ] as const) {
      const [inPax, long] = [this.#pax?.get(key), this.#longNames.get(type)];
      if (inPax !== undefined && long !== undefined && inPax !== long) {
        throw new Error(`an entry has a PAX ${key} and another GNU long name: its readers would disagree about it`);
      }
    }
    this.#longNames.clear();
  }

  #skip(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    this.#left -= end - at;
    if (this.#left === 0) this.#state = 'header';
    return end;
  }
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function isZero(block: Buffer): boolean {
  for (const byte of block) if (byte !== 0) return false;
  return true;
}

function checkGlobal(body: string): void {
  for (const key of parsePax(body).keys()) {
    // Readers differ in whether a global path counts; comments (`git archive` writes one) harm nobody.
    if (key !== 'comment') throw new Error(`PAX global header sets ${JSON.stringify(key)}, which is not supported`);
  }
}

/** Of all bytes of a header, those of the sum itself taken for spaces. */
function sumOf(header: Buffer): number {
  let sum = (CHECKSUM_END - CHECKSUM_START) * 0x20;
  for (let at = 0; at < BLOCK; at++) {
    if (at < CHECKSUM_START || at >= CHECKSUM_END) sum += header[at] ?? 0;
  }
  return sum;
}

function checkSum(header: Buffer, isFirst: boolean): void {
  const sum = sumOf(header);
  // All zeros but for a checksum would be an end marker to one reader and an entry to another.
  const empty = sum === (CHECKSUM_END - CHECKSUM_START) * 0x20;
  const written = readOctal(header.toString('latin1', CHECKSUM_START, CHECKSUM_END));
  if (!empty && written === sum) return;
  throw new Error(isFirst ? 'it is no tar archive' : 'tar header is damaged: its checksum is wrong');
}

// A negative size is nonsense.
function readSize(header: Buffer): number {
  const size = readNumber(header, SIZE, SIZE_LENGTH);
  if (!Number.isSafeInteger(size) || size < 0) throw new Error('tar header has a size that is not a usable number');
  return size;
}
