import { Memory } from './memory.ts';
import { loadShared } from './shared-library.ts';

type Native = (...parameters: (number | bigint)[]) => number | bigint;

interface Library {
  readonly createStream: Native;
  readonly freeStream: Native;
  readonly decompress: Native;
  readonly createContext: Native;
  readonly freeContext: Native;
  readonly setParameter: Native;
  readonly compress: Native;
  readonly isError: Native;
}

const SONAME = 'libzstd.so.1';
const REMEDY = 'install it (apt-get install libzstd1), or use Node 22.15 or later';

let library: Library | undefined;

function load(): Library {
  if (library !== undefined) return library;
  const loaded = loadShared(SONAME, 'cannot use zstd', REMEDY);
  library = {
    createStream: loaded.func('uintptr_t ZSTD_createDStream()') as Native,
    freeStream: loaded.func('size_t ZSTD_freeDStream(uintptr_t stream)') as Native,
    decompress: loaded.func(
      'size_t ZSTD_decompressStream(uintptr_t stream, uintptr_t output, uintptr_t input)',
    ) as Native,
    createContext: loaded.func('uintptr_t ZSTD_createCCtx()') as Native,
    freeContext: loaded.func('size_t ZSTD_freeCCtx(uintptr_t context)') as Native,
    setParameter: loaded.func('size_t ZSTD_CCtx_setParameter(uintptr_t context, int parameter, int value)') as Native,
    compress: loaded.func(
      'size_t ZSTD_compressStream2(uintptr_t context, uintptr_t output, uintptr_t input, int directive)',
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

function setBuffer(view: DataView, at: number, address: number, size: number): void {
  view.setBigUint64(at, BigInt(address), true);
  view.setBigUint64(at + 8, BigInt(size), true);
  view.setBigUint64(at + POSITION, 0n, true);
}

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
    setBuffer(view, 0, this.#input.address, length);
    for (;;) {
      setBuffer(view, BUFFER_SIZE, this.#output.address, OUTPUT_CAPACITY);
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

  close(): void {
    this.#library.freeStream(this.#stream);
    this.#stream = 0;
  }
}

// ZSTD_cParameter and ZSTD_EndDirective.
const CHECKSUM_FLAG = 201;
const CONTINUE = 0;
const END = 2;

/** A compressor to one zstd frame, on libzstd, at its own default level; the same bytes give the same frame. */
export class ZstdCompressor {
  readonly #library = load();
  readonly #input = new Memory(INPUT_CAPACITY);
  readonly #output = new Memory(OUTPUT_CAPACITY);
  readonly #buffers = new Memory(2 * BUFFER_SIZE);
  #context: number | bigint;

  constructor() {
    this.#context = this.#library.createContext();
    if (Number(this.#context) === 0) throw new Error('cannot compress zstd: out of memory');
    this.#library.setParameter(this.#context, CHECKSUM_FLAG, 1);
  }

  /** What there is of the frame by now, piece by piece; each piece is the caller's own. */
  *push(chunk: Uint8Array): Generator<Buffer, void, undefined> {
    for (let start = 0; start < chunk.length; start += INPUT_CAPACITY) {
      const part = chunk.subarray(start, start + INPUT_CAPACITY);
      this.#input.bytes.set(part);
      yield* this.#compress(part.length, CONTINUE);
    }
  }

  /** The rest of the frame. */
  *finish(): Generator<Buffer, void, undefined> {
    yield* this.#compress(0, END);
  }

  *#compress(length: number, directive: number): Generator<Buffer, void, undefined> {
    const { view, address } = this.#buffers;
    setBuffer(view, 0, this.#input.address, length);
    for (;;) {
      setBuffer(view, BUFFER_SIZE, this.#output.address, OUTPUT_CAPACITY);
      const left = this.#library.compress(this.#context, address + BUFFER_SIZE, address, directive);
      if (this.#library.isError(left) !== 0) throw new Error('zstd cannot compress it');
      const produced = Number(view.getBigUint64(BUFFER_SIZE + POSITION, true));
      if (produced > 0) yield Buffer.from(this.#output.bytes.subarray(0, produced));
      // While it goes on, what is left is a hint; at the end it is what the output had no room for.
      if (directive === END ? Number(left) === 0 : Number(view.getBigUint64(POSITION, true)) === length) return;
    }
  }

  close(): void {
    this.#library.freeContext(this.#context);
    this.#context = 0;
  }
}
