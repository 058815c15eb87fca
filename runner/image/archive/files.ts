import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

import { type ByteSource } from '../compression.ts';
import { type Digest, finishDigest } from '../digest.ts';
import { type ImageLayout } from '../layout.ts';

/** A file of an image archive that is being written. */
export interface ArchiveFile {
  /** Relative, of ASCII letters, digits, `.`, `-` and `/` alone. */
  readonly name: string;
  readonly size: number;
  readonly content: ByteSource;
}

/** The files of an archive, one after the other; each one's content is read before the next is asked for. */
export type ArchiveFiles = AsyncIterable<ArchiveFile>;

export function documentFile(name: string, document: Uint8Array | object): ArchiveFile {
  const bytes = document instanceof Uint8Array ? document : Buffer.from(JSON.stringify(document));
  return { name, size: bytes.length, content: pieces(bytes) };
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** A layer's blob, as the store has it. */
export function readBlob(layout: ImageLayout, digest: Digest): ByteSource {
  if (!layout.has(digest)) throw new Error(`layer ${digest} is not in the store; pull or load the image again`);
  return createReadStream(layout.path(digest), { highWaterMark: 1 << 18 });
}

/** Content that is checked on its way: what is written elsewhere is what its digest says, or the writing fails. */
export async function* verified(
  content: ByteSource,
  digest: Digest,
  size: number,
  what: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash('sha256');
  const damaged = new Error(`${what} of the store is damaged; pull or load the image again`);
  let bytes = 0;
  for await (const chunk of content) {
    bytes += chunk.length;
    if (bytes > size) throw damaged;
    hash.update(chunk);
    yield chunk;
  }
  if (bytes !== size || finishDigest(hash) !== digest) throw damaged;
}
