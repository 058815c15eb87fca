import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';

import { ZstdCompressor } from '../../fs/sys/zstd.ts';
import { type ByteSource } from './compression.ts';

/** What plain layers can be packed with. */
export type Packing = 'gzip' | 'zstd';

/** A layer's archive, packed; the same bytes make the same blob, as there is no name and no time in its header. */
export function compress(source: ByteSource, packing: Packing): ByteSource {
  if (packing === 'zstd') return compressZstd(source);
  const gzip = zlib.createGzip({ chunkSize: 1 << 18 });
  // A failure of the source destroys the compressor with it, and so reaches its reader.
  pipeline(Readable.from(source, { objectMode: true }), gzip).catch(() => undefined);
  return gzip as Readable;
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
