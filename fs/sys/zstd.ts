import koffi from 'koffi';

import { Memory } from './memory.ts';

type Native = (...parameters: (number | bigint)[]) => number | bigint;

interface Library {
  readonly createStream: Native;
  readonly freeStream: Native;
  readonly decompress: Native;
  readonly isError: Native;
}

const SONAME = 'libzstd.so.1';

let library: Library | undefined;

function load(): Library {
  if (library !== undefined) return library;
  let loaded;
  try {
    loaded = koffi.load(SONAME);
  } catch {
    throw new Error(
      `cannot decompress zstd: ${SONAME} is not there; install it (apt-get install libzstd1), or use Node 22.15 or later`,
    );
  }
  library = {
    createStream: loaded.func('uintptr_t ZSTD_createDStream()') as Native,
    freeStream: loaded.func('size_t ZSTD_freeDStream(uintptr_t stream)') as Native,
    decompress: loaded.func(
      'size_t ZSTD_decompressStream(uintptr_t stream, uintptr_t output, uintptr_t input)',
    ) as Native,
    isError: loaded.func('unsigned int ZSTD_isError(size_t code)') as Native,
  };
  return library;
}

/** Whether the library is there to be loaded. */
export function hasLibzstd(): boolean {
  try {
    load();
    return true;
  } catch {
    return false;
  }
}

const INPUT_CAPACITY = 1 << 17;
const OUTPUT_CAPACITY = 1 << 18;

// ZSTD_inBuffer and ZSTD_outBuffer: address, size, position, each 64 bits wide.
const BUFFER_SIZE = 24;
const POSITION = 16;

/** A decompressor of zstd streams, frame after frame, on libzstd. */
export class ZstdDecompressor {
  readonly #library = load();
  readonly #input = new Memory(INPUT_CAPACITY);
  readonly #output = new Memory(OUTPUT_CAPACITY);
  readonly #buffers = new Memory(2 * BUFFER_SIZE);
  #stream: number | bigint;
  #atFrameEnd = true;

  constructor() {
    this.#stream = this.#library.createStream();
    if (Number(this.#stream) === 0) throw new Error('cannot decompress zstd: out of memory');
  }

  /** Whether all that was given so far makes whole frames. */
  get atFrameEnd(): boolean {
    return this.#atFrameEnd;
  }

  /** What `chunk` decompresses to, piece by piece; each piece is the caller's own. */
  *push(chunk: Uint8Array): Generator<Buffer, void, undefined> {
    for (let start = 0; start < chunk.length; start += INPUT_CAPACITY) {
      const part = chunk.subarray(start, start + INPUT_CAPACITY);
      this.#input.bytes.set(part);
      yield* this.#decompress(part.length);
    }
  }

  *#decompress(length: number): Generator<Buffer, void, undefined> {
    const { view, address } = this.#buffers;
    this.#setBuffer(0, this.#input.address, length);
    for (;;) {
      this.#setBuffer(BUFFER_SIZE, this.#output.address, OUTPUT_CAPACITY);
      const hint = this.#library.decompress(this.#stream, address + BUFFER_SIZE, address);
      if (this.#library.isError(hint) !== 0) throw new Error('zstd data is damaged');
      const produced = Number(view.getBigUint64(BUFFER_SIZE + POSITION, true));
      if (produced > 0) yield Buffer.from(this.#output.bytes.subarray(0, produced));
      const consumed = Number(view.getBigUint64(POSITION, true));
      this.#atFrameEnd = Number(hint) === 0;
      // A full output may leave more inside the decompressor, though all input is taken.
      if (consumed === length && (this.#atFrameEnd || produced < OUTPUT_CAPACITY)) return;
    }
  }

  #setBuffer(at: number, address: number, size: number): void {
    const { view } = this.#buffers;
    view.setBigUint64(at, BigInt(address), true);
    view.setBigUint64(at + 8, BigInt(size), true);
    view.setBigUint64(at + POSITION, 0n, true);
  }

  close(): void {
    this.#library.freeStream(this.#stream);
    this.#stream = 0;
  }
}
