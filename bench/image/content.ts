// Content that compresses as that of real images does: text to about a third, programs to about a half. It is cut from two
// pools, which are far larger than gzip's window of 32 KiB.

const POOL = 8 << 20;
const WORDS = 4096;

/** Numbers that are the same on every machine (Marsaglia's xorshift, of 32 bits). */
export class Sequence {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b1) || 1;
  }

  /** From 0 up to and without `end`. */
  below(end: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return (state >>> 0) % end;
  }

  /** A size between the two: as many files below as above their geometric mean. */
  size(least: number, most: number): number {
    const fraction = this.below(1 << 16) / (1 << 16);
    return Math.round(least * (most / least) ** fraction);
  }
}

function makeText(sequence: Sequence): Buffer {
  const letters = 'etaoinshrdlucmfwypvbgkjqxz';
  // The less of two is low more often: frequent letters and words, as in any language.
  const low = (end: number): number => Math.min(sequence.below(end), sequence.below(end));
  const word = (): string => Array.from({ length: 2 + low(9) }, () => letters[low(26)] ?? 'e').join('');
  const words = Array.from({ length: WORDS }, word);
  const pool = Buffer.alloc(POOL);
  for (let at = 0; at < POOL;) at += pool.write(`${words[low(low(WORDS) + 1)]}${low(9) === 8 ? '\n' : ' '}`, at);
  return pool;
}

function makeProgram(sequence: Sequence): Buffer {
  const pool = Buffer.alloc(POOL);
  const instruction = (): Buffer =>
    Buffer.from(Array.from({ length: 3 + sequence.below(5) }, () => sequence.below(256)));
  const instructions = Array.from({ length: 256 }, instruction);
  for (let at = 0; at < POOL;) {
    at += instructions[sequence.below(256)]?.copy(pool, at) ?? 0;
    if (at < POOL) pool[at++] = sequence.below(256);
  }
  return pool;
}

/** Pieces of text and of programs, without end. */
export class Content {
  readonly #text: Buffer;
  readonly #program: Buffer;
  readonly #sequence: Sequence;

  constructor(sequence: Sequence) {
    this.#sequence = sequence;
    this.#text = makeText(sequence);
    this.#program = makeProgram(sequence);
  }

  /** A text of half a KiB up to 64. */
  text(): Buffer {
    return this.#cut(this.#text, this.#sequence.size(1 << 9, 1 << 16));
  }

  /** A program of a quarter MiB up to four. */
  program(): Buffer {
    return this.#cut(this.#program, this.#sequence.size(1 << 18, 1 << 22));
  }

  #cut(pool: Buffer, size: number): Buffer {
    const from = this.#sequence.below(POOL - size);
    return pool.subarray(from, from + size);
  }
}
