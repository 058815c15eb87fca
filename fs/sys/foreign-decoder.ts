import { Memory } from './memory.ts';

/** A decoder of a compressed stream, which takes pieces of any length. */
export interface StreamDecoder {
  /** Whether all that was given makes whole streams; asked once, when there is no more. */
  isWhole(): boolean;
  /** What `chunk` decodes to, piece by piece; each piece is the caller's own. */
  push(chunk: Uint8Array): Generator<Buffer, void, undefined>;
  close(): void;
}

/** What one call of a library did. */
interface Step {
  readonly consumed: number;
  readonly produced: number;
}

const INPUT_CAPACITY = 1 << 17;
const OUTPUT_CAPACITY = 1 << 18;

/** Hands bytes to a library that decodes from one buffer to another. */
export class DecoderBuffers {
  readonly #input = new Memory(INPUT_CAPACITY);
  readonly #output = new Memory(OUTPUT_CAPACITY);

  /**
   * @param step decodes `length` bytes at `input` to at most `capacity` at `output`; called until it has taken all and
   *   has no more to give.
   */
  *run(
    chunk: Uint8Array,
    step: (input: number, length: number, output: number, capacity: number) => Step,
  ): Generator<Buffer, void, undefined> {
    for (let start = 0; start < chunk.length; start += INPUT_CAPACITY) {
      const part = chunk.subarray(start, start + INPUT_CAPACITY);
      this.#input.bytes.set(part);
      for (let at = 0; ;) {
        const { consumed, produced } = step(
          this.#input.address + at,
          part.length - at,
          this.#output.address,
          OUTPUT_CAPACITY,
        );
        const isStuck = consumed === 0 && produced === 0 && at < part.length;
        if (isStuck) throw new Error('compressed data is damaged: something follows its end');
        at += consumed;
        if (produced > 0) yield Buffer.from(this.#output.bytes.subarray(0, produced));
        // A full output may leave more inside the library, though all input is taken.
        if (at === part.length && produced < OUTPUT_CAPACITY) break;
      }
    }
  }
}
