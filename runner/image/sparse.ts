import { type ByteString } from '../../fs/sys/bytes.ts';
import { type ByteSource } from './compression.ts';
import { type Limits, overLimit } from './limits.ts';
import { type PaxRecords, parsePaxNumber } from './pax.ts';
import { readNumber } from './tar-numbers.ts';

/** A run of data in a sparse file; between them are holes. */
interface Region {
  readonly offset: number;
  readonly length: number;
}

/** A file of which an archive has but the data, in GNU tar's four formats. */
export interface SparseFile {
  /** Bytes with the holes. */
  readonly size: number;
  /** In place of the one in the header, which is made up; empty where the header's is the file's own. */
  readonly name: ByteString;
  /** Undefined in format 1.0, where the data begins with them. */
  readonly regions: readonly Region[] | undefined;
  /** Bytes in the archive. */
  readonly packed: number;
}

const BLOCK = 512;

function malformed(why: string): Error {
  return new Error(`its map of a sparse file is malformed: ${why}`);
}

/**
 * Regions of a map, checked: in order, apart from each other, inside the file, and together as long as the data. Readers
 * that do without differ in what they make of the rest.
 */
function checkRegions(numbers: readonly number[], size: number, packed: number): Region[] {
  if (numbers.length % 2 !== 0) throw malformed('a region has no length');
  const regions: Region[] = [];
  let end = 0;
  let total = 0;
  for (let at = 0; at < numbers.length; at += 2) {
    const [offset = Number.NaN, length = Number.NaN] = [numbers[at], numbers[at + 1]];
    // Sums of safe integers are exact enough to be over any size that is one.
    if (!isSize(offset) || !isSize(length)) throw malformed('a number in it cannot be used');
    if (offset < end) throw malformed('regions overlap or are out of order');
    if (offset + length > size) throw malformed('a region lies beyond the end of the file');
    end = offset + length;
    total += length;
    regions.push({ offset, length });
  }
  if (total !== packed) throw malformed(`its regions have ${total} bytes, where the archive has ${packed}`);
  return regions;
}

function isSize(number: number): boolean {
  return Number.isSafeInteger(number) && number >= 0;
}

/** What PAX records say of a sparse file, in format 0.0, 0.1 or 1.0. */
export function sparseFromPax(pax: PaxRecords, packed: number): SparseFile | undefined {
  const keys = [...pax.keys()].filter((key) => key.startsWith('GNU.sparse.'));
  if (keys.length === 0) return undefined;
  const version = `${pax.get('GNU.sparse.major') ?? '0'}.${pax.get('GNU.sparse.minor') ?? '0'}`;
  const name = pax.get('GNU.sparse.name') ?? '';
  if (version === '1.0') {
    const size = parsePaxNumber(pax.get('GNU.sparse.realsize') ?? '', 'GNU.sparse.realsize');
    return { size, name, regions: undefined, packed };
  }
  if (version !== '0.0' && version !== '0.1') throw malformed(`its format is ${JSON.stringify(version)}`);
  const size = parsePaxNumber(pax.get('GNU.sparse.size') ?? '', 'GNU.sparse.size');
  const numbers = numbersFromPax(pax);
  const count = pax.get('GNU.sparse.numblocks');
  if (count !== undefined && Number(count) * 2 !== numbers.length) throw malformed('it has another number of regions');
  return { size, name, regions: checkRegions(numbers, size, packed), packed };
}

// Format 0.1 has one record, 0.0 two for each region, which `parsePax` joins.
function numbersFromPax(pax: PaxRecords): number[] {
  const map = pax.get('GNU.sparse.map');
  const offsets = listOf(pax.get('GNU.sparse.offset'));
  const lengths = listOf(pax.get('GNU.sparse.numbytes'));
  if (offsets.length !== lengths.length) throw malformed('a region has no length');
  if (map !== undefined && offsets.length > 0) throw malformed('there are two of them');
  return map === undefined ? offsets.flatMap((offset, at) => [offset, lengths[at] ?? Number.NaN]) : listOf(map);
}

function listOf(text: ByteString | undefined): number[] {
  if (text === undefined || text === '') return [];
  return text.split(',').map((number) => parsePaxNumber(number, 'GNU.sparse'));
}

// Old GNU headers have room for four regions, the blocks that may follow for 21 each.
const OLD = { regions: 386, count: 4, isExtended: 482, size: 483 } as const;
const EXTENSION = { regions: 0, count: 21, isExtended: 504 } as const;
const NUMBER = 12;

/** Map of a sparse file in the old GNU format, block by block. */
export class OldSparseMap {
  readonly #numbers: number[] = [];
  readonly #size: number;
  readonly #packed: number;
  /** Another block of it follows. */
  isExtended: boolean;

  constructor(header: Buffer, packed: number) {
    this.#size = readNumber(header, OLD.size, NUMBER);
    this.#packed = packed;
    if (!isSize(this.#size)) throw malformed('the size in it cannot be used');
    this.#read(header, OLD.regions, OLD.count);
    this.isExtended = header[OLD.isExtended] !== 0;
  }

  extend(block: Buffer): void {
    this.#read(block, EXTENSION.regions, EXTENSION.count);
    this.isExtended = block[EXTENSION.isExtended] !== 0;
  }

  #read(block: Buffer, start: number, count: number): void {
    for (let region = 0; region < count; region++) {
      const at = start + region * 2 * NUMBER;
      if (block[at] === 0) return;
      this.#numbers.push(readNumber(block, at, NUMBER), readNumber(block, at + NUMBER, NUMBER));
    }
  }

  finish(): SparseFile {
    const regions = checkRegions(this.#numbers, this.#size, this.#packed);
    return { size: this.#size, name: '', regions, packed: this.#packed };
  }
}

const ZEROS = Buffer.alloc(1 << 20);

/** Whether these bytes are a hole's: zeros that nobody need look at. */
export function isHole(chunk: Uint8Array): boolean {
  return chunk.buffer === ZEROS.buffer;
}

function* hole(length: number): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= ZEROS.length) yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
}

/** The whole content of a sparse file; `isHole` tells its holes. */
export async function* expandSparse(data: ByteSource, file: SparseFile, limits: Limits): AsyncGenerator<Uint8Array> {
  const pieces = new Pieces(data);
  const regions = file.regions ?? (await readMap(pieces, file, limits));
  let at = 0;
  for (const { offset, length } of regions) {
    yield* hole(offset - at);
    yield* pieces.take(length);
    at = offset + length;
  }
  yield* hole(file.size - at);
}

async function readMap(pieces: Pieces, file: SparseFile, limits: Limits): Promise<Region[]> {
  let text = '';
  let lines = 0;
  // A line for the number of regions, and two for each.
  let wanted = 1;
  while (lines < wanted) {
    const block = await pieces.block();
    text += block;
    lines += block.split('\n').length - 1;
    if (wanted === 1 && lines > 0) wanted += 2 * parsePaxNumber(text.slice(0, text.indexOf('\n')), 'GNU.sparse');
    if (text.length > limits.paxBytes) throw overLimit('its map of a sparse file', limits, 'pax-size');
  }
  const numbers = text.split('\n', wanted).slice(1);
  return checkRegions(
    numbers.map((number) => parsePaxNumber(number, 'GNU.sparse')),
    file.size,
    file.packed - text.length,
  );
}

/** Bytes of a source by number. */
class Pieces {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = Buffer.alloc(0);

  constructor(source: ByteSource) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  async *take(length: number): AsyncGenerator<Uint8Array> {
    for (let left = length; left > 0;) {
      while (this.#rest.length === 0) await this.#next();
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  async block(): Promise<ByteString> {
    let block = '';
    for await (const piece of this.take(BLOCK)) block += Buffer.from(piece).toString('latin1');
    return block;
  }

  async #next(): Promise<void> {
    const next = await this.#iterator.next();
    if (next.done === true) throw malformed('the data ends within it');
    this.#rest = next.value;
  }
}
