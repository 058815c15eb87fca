import { ZstdCompressor } from '../../fs/sys/zstd.ts';
import { type ByteSource } from './compression.ts';
import { gzip } from './gzip.ts';

/** What plain layers can be packed with. */
export type Packing = 'gzip' | 'zstd';

/** A layer's archive, packed; the same bytes make the same blob, as there is no name and no time in its header. */
export function compress(source: ByteSource, packing: Packing): ByteSource {
  return packing === 'zstd' ? compressZstd(source) : gzip(source);
}

async function* compressZstd(source: ByteSource): AsyncGenerator<Uint8Array> {
  const compressor = new ZstdCompressor();
  try {
    for await (const chunk of source) yield* compressor.push(chunk);
    yield* compressor.finish();
  } finally {
    compressor.close();
  }
}
