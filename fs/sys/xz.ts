import { DecoderBuffers, type StreamDecoder } from './foreign-decoder.ts';
import { Memory } from './memory.ts';
import { loadShared } from './shared-library.ts';

type Native = (...args: (number | bigint)[]) => number;

interface Library {
  readonly start: Native;
  readonly code: Native;
  readonly end: Native;
}

const SONAME = 'liblzma.so.5';
const REMEDY = 'install it (apt-get install liblzma5), or decompress it first: xz -d';

let library: Library | undefined;

function load(): Library {
  if (library !== undefined) return library;
  const loaded = loadShared(SONAME, 'it is compressed with xz', REMEDY);
  library = {
    start: loaded.func('int lzma_stream_decoder(uintptr_t stream, uint64_t limit, uint32_t flags)') as Native,
    code: loaded.func('int lzma_code(uintptr_t stream, int action)') as Native,
    end: loaded.func('void lzma_end(uintptr_t stream)') as Native,
  };
  return library;
}

// lzma/base.h: `lzma_stream`, which begins with the addresses and sizes of input and output.
const STREAM_SIZE = 136;
const NEXT_IN = 0;
const AVAIL_IN = 8;
const NEXT_OUT = 24;
const AVAIL_OUT = 32;
const LZMA_RUN = 0;
const LZMA_FINISH = 3;
const LZMA_CONCATENATED = 0x08;
const LZMA_OK = 0;
const LZMA_STREAM_END = 1;
const LZMA_MEMLIMIT_ERROR = 6;
const LZMA_BUF_ERROR = 10;
/** `xz -9` needs 65 MiB; a hostile stream may ask for 4 GiB. */
const MEMORY_LIMIT = 128 * 2 ** 20;

/** A decoder of xz streams, one after the other, on liblzma. */
export class XzDecoder implements StreamDecoder {
  readonly #library = load();
  readonly #stream = new Memory(STREAM_SIZE);
  readonly #buffers = new DecoderBuffers();

  constructor() {
    const status = this.#library.start(this.#stream.address, MEMORY_LIMIT, LZMA_CONCATENATED);
    if (status !== LZMA_OK) throw new Error('cannot decompress xz: out of memory');
  }

  *push(chunk: Uint8Array): Generator<Buffer, void, undefined> {
    yield* this.#buffers.run(chunk, (input, length, output, capacity) => {
      const { view, address } = this.#stream;
      view.setBigUint64(NEXT_IN, BigInt(input), true);
      view.setBigUint64(AVAIL_IN, BigInt(length), true);
      view.setBigUint64(NEXT_OUT, BigInt(output), true);
      view.setBigUint64(AVAIL_OUT, BigInt(capacity), true);
      checkStatus(this.#library.code(address, LZMA_RUN));
      const left = Number(view.getBigUint64(AVAIL_IN, true));
      return { consumed: length - left, produced: capacity - Number(view.getBigUint64(AVAIL_OUT, true)) };
    });
  }

  isWhole(): boolean {
    const { view, address } = this.#stream;
    view.setBigUint64(AVAIL_IN, 0n, true);
    view.setBigUint64(AVAIL_OUT, 0n, true);
    return this.#library.code(address, LZMA_FINISH) === LZMA_STREAM_END;
  }

  close(): void {
    this.#library.end(this.#stream.address);
  }
}

function checkStatus(status: number): void {
  if (status === LZMA_OK || status === LZMA_STREAM_END || status === LZMA_BUF_ERROR) return;
  if (status === LZMA_MEMLIMIT_ERROR) throw new Error('xz data would need more than 128 MiB of memory');
  throw new Error('xz data is damaged');
}
