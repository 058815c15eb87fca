import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { PassThrough } from 'node:stream';

import { toBytes } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { compress, type Packing } from './compress.ts';
import { type ByteSource } from './compression.ts';
import { type Digest, finishDigest } from './digest.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { tryGatherLayerIndex } from './index-layer.ts';
import { type Scratch } from './scratch.ts';
import { spoolFile, type SpooledFile } from './spool.ts';
import { unpackLayer } from './unpack.ts';
import { type Warnings } from './warnings.ts';

/** A layer that was made here: its archive as a blob, and unpacked, both not in the store yet. */
export interface CapturedLayer {
  readonly diffId: Digest;
  readonly blob: SpooledFile;
  /** The unpacked tree. */
  readonly path: string;
  /** Bytes of its files. */
  readonly size: number;
  readonly index: Uint8Array | undefined;
  /** Bytes of the archive, unpacked. */
  readonly archiveSize: number;
}

// What this machine holds already it can hold a second time; only who takes the image elsewhere may have to allow it.
const OWN: Limits = {
  ...DEFAULT_LIMITS,
  layerBytes: Infinity,
  entries: Infinity,
  depth: Infinity,
  paxBytes: Infinity,
  retainedBytes: Infinity,
};

/** Archives wait for whoever takes them in pieces of a quarter megabyte; more of them in memory help nobody. */
const PIECES = 4;

/**
 * Takes an archive into scratch files, in one pass: hashed, written as a blob, packed where that is asked for, and
 * unpacked. So it is read once, and what is unpacked is what the digest is of.
 *
 * @param lowers unpacked layers below it, the topmost first.
 */
export async function captureLayer(
  archive: ByteSource,
  lowers: readonly string[],
  packing: Packing | undefined,
  scratch: Scratch,
  warnings: Warnings,
): Promise<CapturedLayer> {
  const hash = createHash('sha256');
  const pieces = new PassThrough({ objectMode: true, highWaterMark: PIECES });
  const source = pieces as ByteSource;
  const blobPath = scratch.next();
  const spooling =
    packing === undefined ? spoolPlain(blobPath, source) : spoolFile(blobPath, compress(source, packing));
  // Whatever ends one of the two ends the other; the first failure is the one that is told.
  spooling.catch((error: unknown) => pieces.destroy(asError(error)));
  const path = scratch.next();
  const counted = { bytes: 0 };
  try {
    const { size, index } = await unpackInto(path, tapped(archive, hash, pieces, counted), lowers, warnings);
    pieces.end();
    const blob = await spooling;
    const diffId = finishDigest(hash);
    const kept = { path: blobPath, digest: diffId, ...blob };
    return { diffId, blob: kept, path, size, index, archiveSize: counted.bytes };
  } catch (error) {
    pieces.destroy(asError(error));
    await spooling.catch(() => undefined);
    throw error;
  }
}

/** An archive that is not packed has one digest as a blob and as a layer, for which it is hashed once. */
async function spoolPlain(path: string, source: ByteSource): Promise<{ readonly size: number }> {
  const fd = openSync(path, 'wx', 0o600);
  let size = 0;
  try {
    for await (const piece of source) {
      size += piece.length;
      for (let at = 0; at < piece.length;) at += writeSync(fd, piece, at);
    }
  } finally {
    closeSync(fd);
  }
  return { size };
}

async function* tapped(
  archive: ByteSource,
  hash: Hash,
  pieces: PassThrough,
  counted: { bytes: number },
): AsyncGenerator<Uint8Array> {
  for await (const piece of archive) {
    hash.update(piece);
    counted.bytes += piece.length;
    if (pieces.destroyed) throw pieces.errored ?? new Error('the layer could not be written');
    if (!pieces.write(piece)) await once(pieces, 'drain');
    yield piece;
  }
}

async function unpackInto(
  path: string,
  archive: ByteSource,
  lowers: readonly string[],
  warnings: Warnings,
): Promise<{ readonly size: number; readonly index: Uint8Array | undefined }> {
  mkdirSync(path, { mode: 0o700 });
  const directory = check(openat(-1, toBytes(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open directory ${path}`);
  try {
    const { size } = await unpackLayer(archive, { directory, lowers: lowers.map(toBytes), limits: OWN, warnings });
    return { size, index: tryGatherLayerIndex(directory, warnings) };
  } finally {
    close(directory);
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
