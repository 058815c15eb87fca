import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import zlib from 'node:zlib';

import { type ByteSource } from './compression.ts';

/** Bytes that are compressed by themselves: enough that what is lost between them is nothing. */
const BLOCK = 1 << 20;
/** How far back deflate refers (RFC 1951). */
const WINDOW = 1 << 15;
/** As many as libuv has threads for. */
const AT_ONCE = Math.min(availableParallelism(), 4);

const deflateRaw = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.deflateRaw);

/** A header with neither a name nor a time (RFC 1952). */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);

/**
 * Compresses with gzip on several processors: blocks by themselves, each knowing the end of the one before, so that they
 * are one stream. The same bytes give the same result, however they come and whatever the machine.
 */
export async function* gzip(source: ByteSource): AsyncGenerator<Uint8Array> {
  const jobs: Promise<Buffer>[] = [];
  const trailer = Buffer.alloc(8);
  let [crc, length] = [0, 0];
  let dictionary: Buffer = Buffer.alloc(0);
  yield HEADER;
  try {
    for await (const { block, isLast } of inBlocks(source)) {
      crc = zlib.crc32(block, crc);
      length += block.length;
      const job = deflate(block, dictionary, isLast);
      // Told where it is waited for, however late that is.
      job.catch(() => undefined);
      jobs.push(job);
      dictionary = block.subarray(-WINDOW);
      if (jobs.length >= AT_ONCE) yield* take(jobs);
    }
    while (jobs.length > 0) yield* take(jobs);
  } finally {
    await Promise.allSettled(jobs);
  }
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(length % 2 ** 32, 4);
  yield trailer;
}

async function* take(jobs: Promise<Buffer>[]): AsyncGenerator<Uint8Array> {
  const compressed = await jobs.shift();
  if (compressed !== undefined) yield compressed;
}

function deflate(block: Uint8Array, dictionary: Buffer, isLast: boolean): Promise<Buffer> {
  const { Z_FINISH, Z_SYNC_FLUSH } = zlib.constants;
  return deflateRaw(block, {
    finishFlush: isLast ? Z_FINISH : Z_SYNC_FLUSH,
    ...(dictionary.length === 0 ? {} : { dictionary }),
  });
}

interface Block {
  readonly block: Buffer;
  readonly isLast: boolean;
}

/** Pieces of one length; the last, which may be shorter or empty, is known as such. */
async function* inBlocks(source: ByteSource): AsyncGenerator<Block> {
  let block = Buffer.allocUnsafe(BLOCK);
  let filled = 0;
  for await (const piece of source) {
    for (let at = 0; at < piece.length;) {
      if (filled === BLOCK) {
        yield { block, isLast: false };
        block = Buffer.allocUnsafe(BLOCK);
        filled = 0;
      }
      const part = piece.subarray(at, at + BLOCK - filled);
      block.set(part, filled);
      filled += part.length;
      at += part.length;
    }
  }
  yield { block: block.subarray(0, filled), isLast: true };
}
