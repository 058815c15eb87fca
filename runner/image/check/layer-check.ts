import { createHash } from 'node:crypto';
import { createReadStream, ftruncateSync, mkdirSync } from 'node:fs';

import { Attr } from '../../../fs/sys/attr.ts';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close, fstat, openat } from '../../../fs/sys/file.ts';
import { decompress } from '../compression.ts';
import { type Digest, finishDigest } from '../digest.ts';
import { NO_LIMITS } from '../limits.ts';
import { type Scratch } from '../scratch.ts';
import { type Store } from '../store.ts';
import { unpackLayer } from '../unpack.ts';
import { Warnings } from '../warnings.ts';
import { TreeComparison } from './tree-comparison.ts';

/** A layer as an image has it. */
export interface ImageLayer {
  /** Of the archive. */
  readonly blob: Digest;
  readonly diffId: Digest;
  /** Of this layer, and of those below it, the bottom one first. */
  readonly chainIds: readonly Digest[];
}

/**
 * Holds an unpacked layer against its archive: the archive is unpacked once more, but of its files' data the digests alone
 * are kept, so that it takes inodes and no space.
 *
 * @returns what differs, in words.
 */
export async function compareLayer(store: Store, scratch: Scratch, layer: ImageLayer): Promise<string[]> {
  const path = scratch.next();
  mkdirSync(path, { mode: 0o700 });
  const expected = openDirectory(path);
  const actual = openDirectory(store.layers.path(layer.chainIds.at(-1) ?? layer.diffId));
  const contents = new Map<number, string>();
  try {
    const hash = createHash('sha256');
    await unpackLayer(archiveOf(store, layer.blob, hash), {
      directory: expected,
      lowers: store.layers.stack(layer.chainIds.slice(0, -1)).map(toBytes),
      limits: NO_LIMITS,
      warnings: new Warnings(),
      createWriter: (fd) => new DigestWriter(fd, contents),
    });
    if (finishDigest(hash) !== layer.diffId) return [`cannot be what ${layer.blob} unpacks to: that is another layer`];
    const comparison = new TreeComparison(contents);
    comparison.compare(expected, actual);
    const { differences, count } = comparison;
    return count > differences.length ? [...differences, `and ${count - differences.length} more`] : differences;
  } finally {
    close(expected);
    close(actual);
    scratch.discard(path);
  }
}

function openDirectory(path: string): number {
  return check(openat(-1, toBytes(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open directory ${path}`);
}

async function* archiveOf(store: Store, blob: Digest, hash: ReturnType<typeof createHash>): AsyncGenerator<Uint8Array> {
  for await (const chunk of decompress(createReadStream(store.layout.path(blob), { highWaterMark: 1 << 18 }))) {
    hash.update(chunk);
    yield chunk;
  }
}

const attr = new Attr();

/** Takes a file's data, and leaves a file of the same size without any. */
class DigestWriter {
  readonly #fd: number;
  readonly #contents: Map<number, string>;
  readonly #hash = createHash('sha256');
  #size = 0;

  constructor(fd: number, contents: Map<number, string>) {
    this.#fd = fd;
    this.#contents = contents;
  }

  write(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#size += chunk.length;
  }

  finish(): void {
    ftruncateSync(this.#fd, this.#size);
    check(fstat(this.#fd, attr), 'look at a file');
    this.#contents.set(attr.ino, this.#hash.digest('hex'));
  }
}
