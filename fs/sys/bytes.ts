import { Memory } from './memory.ts';
import type { ByteString } from './text.ts';

export { type ByteString, toBytes, toText } from './text.ts';

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
