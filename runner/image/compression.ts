import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';

import { Bzip2Decoder } from '../../fs/sys/bzip2.ts';
import { type StreamDecoder } from '../../fs/sys/foreign-decoder.ts';
import { XzDecoder } from '../../fs/sys/xz.ts';
import { hasLibzstd, ZstdDecompressor } from '../../fs/sys/zstd.ts';

/** How the bytes of an archive are packed, told by their first bytes; a file's name says nothing reliable. */
export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2';

/** Bytes in order, each chunk the consumer's own. */
export type ByteSource = AsyncIterable<Uint8Array>;

export const MAGIC_LENGTH = 10;

/** @param head the first `MAGIC_LENGTH` bytes, or fewer where there are no more. */
export function detectCompression(head: Uint8Array): Compression {
  const [first, second, third, fourth] = head;
  if (first === 0x1f && second === 0x8b) return 'gzip';
  if (first === 0x28 && second === 0xb5 && third === 0x2f && fourth === 0xfd) return 'zstd';
  // Skippable frames (0x184D2A50 to 5F) may open a zstd stream: seekable writers make them.
  if (first !== undefined && (first & 0xf0) === 0x50 && second === 0x2a && third === 0x4d && fourth === 0x18) {
    return 'zstd';
  }
  const other = Buffer.from(head).toString('latin1');
  if (other.startsWith('\xfd7zXZ\0')) return 'xz';
  // The three letters alone may begin a file's name, with which a tar archive begins.
  if (/^BZh[1-9](?:1AY&SY|\x17rE8P\x90)/.test(other)) return 'bzip2';
  return 'none';
}

/** Two pieces are made ahead of the reader, while it is at work: another thread makes them. */
const GUNZIP = { chunkSize: 1 << 16, readableHighWaterMark: 1 << 17, writableHighWaterMark: 1 << 16 };

/** The uncompressed bytes of a source; errors say what is wrong with the data. */
export async function* decompress(source: ByteSource): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  const [head, rest] = await peek(iterator);
  switch (detectCompression(head)) {
    case 'gzip':
      yield* throughZlib(zlib.createGunzip(GUNZIP), rest, 'gzip');
      return;
    case 'zstd':
      yield* unzstd(rest);
      return;
    case 'xz':
    case 'bzip2':
      yield* throughDecoder(detectCompression(head) === 'xz' ? 'xz' : 'bzip2', rest);
      return;
    case 'none':
      yield* rest;
  }
}

/** The source as it is, or uncompressed where its compression is none that layers have. */
export async function* asLayer(source: ByteSource): AsyncGenerator<Uint8Array, void, undefined> {
  const [head, rest] = await peek(source[Symbol.asyncIterator]());
  const compression = detectCompression(head);
  if (compression === 'xz' || compression === 'bzip2') yield* throughDecoder(compression, rest);
  else yield* rest;
}

async function peek(iterator: AsyncIterator<Uint8Array>): Promise<[Uint8Array, ByteSource]> {
  let head = Buffer.alloc(0);
  while (head.length < MAGIC_LENGTH) {
    const next = await iterator.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  return [head, continued(head, iterator)];
}

async function* continued(head: Uint8Array, iterator: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (head.length > 0) yield head;
    for (;;) {
      const next = await iterator.next();
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}

async function* throughZlib(
  decoder: NodeJS.ReadWriteStream & AsyncIterable<unknown> & { destroy(error: Error): void },
  source: ByteSource,
  format: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  // A failure of the source destroys the decoder with it, and so reaches the loop below.
  pipeline(Readable.from(source, { objectMode: true, highWaterMark: 1 }), decoder).catch(() => undefined);
  try {
    for await (const chunk of decoder) yield chunk as Buffer;
  } catch (error) {
    throw describeZlibError(error, format);
  }
}

async function* throughDecoder(
  format: 'xz' | 'bzip2',
  source: ByteSource,
): AsyncGenerator<Uint8Array, void, undefined> {
  const decoder: StreamDecoder = format === 'xz' ? new XzDecoder() : new Bzip2Decoder();
  try {
    for await (const chunk of source) yield* decoder.push(chunk);
    if (!decoder.isWhole()) throw new Error(`${format} data ends early: the archive is truncated`);
  } finally {
    decoder.close();
  }
}

function describeZlibError(error: unknown, format: string): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'Z_BUF_ERROR') return new Error(`${format} data ends early: the archive is truncated`);
  if (/^Z_|^ZSTD_/.test(code)) return new Error(`${format} data is damaged: ${(error as Error).message}`);
  return error;
}

// Node 22.15 and 23.8 brought zstd; the types are those of Node 20.
type ZstdFactory = () => ReturnType<typeof zlib.createGunzip>;
const createZstdDecompress = (zlib as { createZstdDecompress?: ZstdFactory }).createZstdDecompress;

// The library comes first: Node's decoder drops all frames after the first (nodejs/node#64741), and pzstd and
// zstd:chunked layers have many. With Node's such a layer fails its digest check.
function unzstd(source: ByteSource): AsyncGenerator<Uint8Array, void, undefined> {
  if (!hasLibzstd() && createZstdDecompress !== undefined) return throughZlib(createZstdDecompress(), source, 'zstd');
  return unzstdByLibrary(source);
}

async function* unzstdByLibrary(source: ByteSource): AsyncGenerator<Uint8Array, void, undefined> {
  const decompressor = new ZstdDecompressor();
  try {
    for await (const chunk of source) yield* decompressor.push(chunk);
    if (!decompressor.atFrameEnd) throw new Error('zstd data ends early: the archive is truncated');
  } finally {
    decompressor.close();
  }
}
