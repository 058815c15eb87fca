import { DecoderBuffers, type StreamDecoder } from './foreign-decoder.ts';
import { Memory } from './memory.ts';
import { loadShared } from './shared-library.ts';

type Native = (...args: (number | bigint)[]) => number;

interface Library {
  readonly start: Native;
  readonly decompress: Native;
  readonly end: Native;
}

const SONAME = 'libbz2.so.1.0';
const REMEDY = 'install it (apt-get install libbz2-1.0), or decompress it first: bzip2 -d';

let library: Library | undefined;

function load(): Library {
  if (library !== undefined) return library;
  const loaded = loadShared(SONAME, 'it is compressed with bzip2', REMEDY);
  library = {
    start: loaded.func('int BZ2_bzDecompressInit(uintptr_t stream, int verbosity, int small)') as Native,
    decompress: loaded.func('int BZ2_bzDecompress(uintptr_t stream)') as Native,
    end: loaded.func('int BZ2_bzDecompressEnd(uintptr_t stream)') as Native,
  };
  return library;
}

// bzlib.h: `bz_stream`, with sizes of 32 bits.
const STREAM_SIZE = 80;
const NEXT_IN = 0;
const AVAIL_IN = 8;
const NEXT_OUT = 24;
const AVAIL_OUT = 32;
const BZ_OK = 0;
const BZ_STREAM_END = 4;

/** A decoder of bzip2 streams, one after the other, on libbz2. */
export class Bzip2Decoder implements StreamDecoder {
  readonly #library = load();
  readonly #stream = new Memory(STREAM_SIZE);
  readonly #buffers = new DecoderBuffers();
  #isOpen = false;

  *push(chunk: Uint8Array): Generator<Buffer, void, undefined> {
    yield* this.#buffers.run(chunk, (input, length, output, capacity) => {
      if (length === 0 && !this.#isOpen) return { consumed: 0, produced: 0 };
      this.#open();
      const { view, address } = this.#stream;
      view.setBigUint64(NEXT_IN, BigInt(input), true);
      view.setUint32(AVAIL_IN, length, true);
      view.setBigUint64(NEXT_OUT, BigInt(output), true);
      view.setUint32(AVAIL_OUT, capacity, true);
      const status = this.#library.decompress(address);
      if (status !== BZ_OK && status !== BZ_STREAM_END) throw new Error('bzip2 data is damaged');
      const left = view.getUint32(AVAIL_IN, true);
      const produced = capacity - view.getUint32(AVAIL_OUT, true);
      if (status === BZ_STREAM_END) this.close();
      return { consumed: length - left, produced };
    });
  }

  /** pbzip2 writes many streams, each of which is begun anew. */
  #open(): void {
    if (this.#isOpen) return;
    this.#stream.bytes.fill(0);
    if (this.#library.start(this.#stream.address, 0, 0) !== BZ_OK) {
      throw new Error('cannot decompress bzip2: out of memory');
    }
    this.#isOpen = true;
  }

  isWhole(): boolean {
    return !this.#isOpen;
  }

  close(): void {
    if (this.#isOpen) this.#library.end(this.#stream.address);
    this.#isOpen = false;
  }
}
