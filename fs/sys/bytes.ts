import { Memory } from './memory.ts';

/**
 * A path or name as the kernel has it: bytes, held in a string of one character (U+0000 to U+00FF) a byte, "latin1".
 * File names need not be UTF-8, and such a string is exact, cheap to compare and works as a key.
 */
export type ByteString = string;

/** The bytes of a JavaScript string (UTF-8), as from a command line. */
export function toBytes(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** For messages and JSON: UTF-8 where the bytes are that, else with U+FFFD in their place. */
export function toText(bytes: ByteString): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

// PATH_MAX is 4096 with its NUL; a byte more lets the kernel itself see that a path is too long.
const PATH_CAPACITY = 4096 + 1;

class Scratch {
  readonly #memory = new Memory(PATH_CAPACITY + 1);

  /** Writes `path` NUL-terminated and answers its address, good until the next call. */
  put(path: ByteString): number {
    const length = this.#memory.bytes.write(path, 0, PATH_CAPACITY, 'latin1');
    this.#memory.bytes[length] = 0;
    return this.#memory.address;
  }
}

const first = new Scratch();
const second = new Scratch();

/** C string of a call's first path. Each thread has its own scratch; the address is good for one call. */
export function firstPath(path: ByteString): number {
  return first.put(path);
}

/** C string of a call's second path or name. */
export function secondPath(path: ByteString): number {
  return second.put(path);
}
