import { createHash, type Hash } from 'node:crypto';

import { toBytes } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { discardBuffer } from './buffer-garbage.ts';
import { type ByteSource } from './compression.ts';
import { type Digest, finishDigest } from './digest.ts';
import { type Growth, readGrowing } from './growing-file.ts';
import { tryGatherLayerIndex } from './index-layer.ts';
import { type Limits } from './limits.ts';
import { decompressInProportion } from './proportion.ts';
import { unpackAside } from './unpack.ts';
import { Warnings } from './warnings.ts';

/** A layer's archive and what is to become of it: plain data, which another thread can be told. */
export interface LayerArchive {
  readonly path: string;
  /** Bytes, compressed as they are. */
  readonly size: number;
  /** A new and empty one of ours, to unpack into; undefined where the archive is to be looked at alone. */
  readonly directory: string | undefined;
  readonly limits: Limits;
}

/** What an archive held. */
export interface ArchiveFacts {
  /** Of the uncompressed archive. */
  readonly diffId: Digest;
  /** Bytes, uncompressed. */
  readonly archiveSize: number;
  /** Bytes of all files. */
  readonly size: number;
  /** Bytes that are kept in memory until the layer is finished. */
  readonly retained: number;
}

/** What is known of a layer when it is whole. */
export interface FinishedLayer {
  readonly warnings: Warnings;
  readonly index: Uint8Array | undefined;
}

/** A layer that is unpacked but for what depends on those below it. */
export interface UnpackedArchive extends ArchiveFacts {
  /**
   * Does the rest.
   *
   * @param lowers finished layers below this one, absolute paths, the topmost first.
   */
  finish(lowers: readonly string[]): Promise<FinishedLayer>;
}

/** Unpacks an archive, or looks at it, in the calling thread. */
export async function unpackArchive(
  archive: LayerArchive,
  growth: Growth,
  signal: AbortSignal,
): Promise<UnpackedArchive> {
  const { path, directory, limits, size: packed } = archive;
  const hash = createHash('sha256');
  const counted = { bytes: 0 };
  const content = decompressInProportion(readGrowing(path, growth), limits, 'layer-size', packed);
  const tapped = tap(content, hash, counted, signal);
  const warnings = new Warnings();
  const facts = (): Pick<ArchiveFacts, 'diffId' | 'archiveSize'> => {
    return { diffId: finishDigest(hash), archiveSize: counted.bytes };
  };
  if (directory === undefined) {
    await drain(tapped);
    return { ...facts(), size: 0, retained: 0, finish: () => Promise.resolve({ warnings, index: undefined }) };
  }
  const { size, unfinished } = await inDirectory(directory, (fd) => {
    return unpackAside(tapped, { directory: fd, limits, warnings });
  });
  const finish = (lowers: readonly string[]): Promise<FinishedLayer> =>
    inDirectory(directory, (fd) => {
      unfinished.finish(fd, lowers.map(toBytes));
      return { warnings, index: tryGatherLayerIndex(fd, warnings) };
    });
  return { ...facts(), size, retained: unfinished.retained, finish };
}

/** Not held open from one step to the next: hundreds of layers may wait to be finished. */
async function inDirectory<T>(path: string, work: (fd: number) => T | Promise<T>): Promise<T> {
  const fd = check(openat(-1, toBytes(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open directory ${path}`);
  try {
    return await work(fd);
  } finally {
    close(fd);
  }
}

async function drain(content: AsyncGenerator<Uint8Array>): Promise<void> {
  for (let next = await content.next(); next.done !== true;) next = await content.next();
}

async function* tap(
  source: ByteSource,
  hash: Hash,
  counted: { bytes: number },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    signal.throwIfAborted();
    hash.update(chunk);
    counted.bytes += chunk.length;
    yield chunk;
    discardBuffer(chunk.length);
  }
}
