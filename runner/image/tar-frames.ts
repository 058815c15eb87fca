import { type Limits, overLimit } from './limits.ts';
import { type PaxRecords, parsePax, parsePaxNumber } from './pax.ts';

const BLOCK = 512;
const CHECKSUM_START = 148;
const CHECKSUM_END = 156;
const SIZE = 124;
const SIZE_LENGTH = 12;
const TYPE = 156;

// Headers that belong to the entry after them.
const PAX = 0x78; // x
const GLOBAL_PAX = 0x67; // g
const LONG_LINK = 0x4b; // K
const LONG_NAME = 0x4c; // L
const OLD_LONG_NAME = 0x4e; // N
const DIRECTORY = 0x35; // 5

/** What one header of an archive says, read from its own bytes. */
export interface Frame {
  /** The type flag; 0 and `0` both stand for a regular file. */
  readonly type: number;
  /** Bytes of data that follow. */
  readonly size: number;
  readonly pax: PaxRecords | undefined;
}

type State = 'header' | 'attached' | 'skip';

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

  /** Follows `chunk` and answers the part of it that lies before the archive's end. */
  push(chunk: Uint8Array): Uint8Array {
    let at = 0;
    while (at < chunk.length && !this.ended) {
      switch (this.#state) {
        case 'header':
          at = this.#takeHeader(chunk, at);
          break;
        case 'attached':
          at = this.#takeAttached(chunk, at);
          break;
        case 'skip':
          at = this.#skip(chunk, at);
          break;
      }
    }
    return at === chunk.length ? chunk : chunk.subarray(0, at);
  }

  #takeHeader(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + BLOCK - this.#filled);
    this.#header.set(chunk.subarray(at, end), this.#filled);
    this.#filled += end - at;
    if (this.#filled === BLOCK) {
      this.#filled = 0;
      this.#readHeader();
    }
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
    } else {
      this.#finishEntry(type, size);
    }
  }

  #startAttached(type: number, size: number): void {
    // tar-stream loses its place after an empty one, and nobody writes such.
    if (size === 0) throw new Error('a PAX header or long name is empty');
    this.#attachedTotal += size;
    // Several in a row may stand before one entry; together they get no more room than one.
    if (this.#attachedTotal > this.#limits.paxBytes) {
      throw overLimit(`a PAX header or long name of ${this.#attachedTotal} bytes`, this.#limits, 'pax-size');
    }
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
    if (this.#attachedType !== GLOBAL_PAX) return;
    for (const key of parsePax(body).keys()) {
      // Readers differ in whether a global path counts; comments (`git archive` writes one) harm nobody.
      if (key !== 'comment') throw new Error(`PAX global header sets ${JSON.stringify(key)}, which is not supported`);
    }
  }

  #finishEntry(type: number, headerSize: number): void {
    const paxSize = this.#pax?.get('size');
    const size = paxSize === undefined || paxSize === '' ? headerSize : parsePaxNumber(paxSize, 'size');
    this.#frames.push({ type, size, pax: this.#pax });
    this.#pax = undefined;
    this.#attachedTotal = 0;
    this.#left = type === DIRECTORY ? 0 : padded(size);
    this.#state = this.#left === 0 ? 'header' : 'skip';
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

function checkSum(header: Buffer, isFirst: boolean): void {
  let sum = (CHECKSUM_END - CHECKSUM_START) * 0x20;
  for (let at = 0; at < BLOCK; at++) {
    if (at < CHECKSUM_START || at >= CHECKSUM_END) sum += header[at] ?? 0;
  }
  // All zeros but for a checksum would be an end marker to one reader and an entry to another.
  const empty = sum === (CHECKSUM_END - CHECKSUM_START) * 0x20;
  const written = readOctal(header.toString('latin1', CHECKSUM_START, CHECKSUM_END));
  if (!empty && written === sum) return;
  throw new Error(isFirst ? 'it is no tar archive' : 'tar header is damaged: its checksum is wrong');
}

function readOctal(text: string): number {
  const match = /^[ \0]*([0-7]*)[ \0]*$/.exec(text);
  return match === null ? Number.NaN : Number.parseInt(match[1] || '0', 8);
}

// Octal digits, or the number in base 256 where the first bit is set. A negative size is nonsense.
function readSize(header: Buffer): number {
  const first = header[SIZE] ?? 0;
  const size =
    (first & 0x80) === 0 ? readOctal(header.toString('latin1', SIZE, SIZE + SIZE_LENGTH)) : readBase256(header);
  if (!Number.isSafeInteger(size)) throw new Error('tar header has a size that is not a usable number');
  return size;
}

function readBase256(header: Buffer): number {
  if (header[SIZE] !== 0x80) return Number.NaN;
  let value = 0;
  for (let at = SIZE + 1; at < SIZE + SIZE_LENGTH; at++) value = value * 256 + (header[at] ?? 0);
  return value;
}
