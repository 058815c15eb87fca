import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

import { asLayer, type ByteSource } from './compression.ts';
import { type Digest, finishDigest } from './digest.ts';
import { toLayer } from './docker-archive.ts';
import { ingest } from './ingest.ts';
import { type JsonObject } from './json.ts';
import { type Limits } from './limits.ts';
import { type Platform } from './platform.ts';
import { decompressInProportion } from './proportion.ts';
import { spoolFile, type SpooledFile } from './spool.ts';
import { type Store } from './store.ts';
import { type Warnings } from './warnings.ts';

/** How a root filesystem becomes an image. */
export interface ImportOptions {
  /** A full name; without one the image has its id alone. */
  readonly name?: string | undefined;
  /** For the history: where the filesystem came from, or what its importer says of it. */
  readonly comment: string;
  /** RFC 3339. */
  readonly created: string;
  readonly platform: Platform;
  /** The configuration's `config`. */
  readonly config: JsonObject;
  readonly limits: Limits;
  readonly warnings: Warnings;
}

/**
 * Makes an image of one layer out of a tar archive, plain or compressed, which stays as it is: the layer's blob.
 *
 * @returns the image's id.
 */
export async function importArchive(store: Store, archive: ByteSource, options: ImportOptions): Promise<Digest> {
  const scratch = store.scratch();
  let isWhole = false;
  try {
    const file = await spoolFile(scratch.next(), asLayer(archive));
    const diffId = await digestOfContent(file, options.limits);
    const names = options.name === undefined ? [] : [options.name];
    const title = options.name ?? 'the imported one';
    const image = { names, title, config: createConfig(diffId, options), manifest: undefined, layers: [toLayer(file)] };
    const [id] = await ingest(store, scratch, [image], options);
    if (id === undefined) throw new Error('the image was not entered');
    isWhole = true;
    return id;
  } finally {
    scratch.remove();
    // A layer that came before the failure is whole, but nobody's.
    if (!isWhole) store.collect();
  }
}

async function digestOfContent(file: SpooledFile, limits: Limits): Promise<Digest> {
  const hash = createHash('sha256');
  const packed = createReadStream(file.path, { highWaterMark: 1 << 18 });
  for await (const chunk of decompressInProportion(packed, limits, 'layer-size', file.size)) hash.update(chunk);
  return finishDigest(hash);
}

function createConfig(diffId: Digest, { platform, created, comment, config }: ImportOptions): Buffer {
  const { os, architecture, variant } = platform;
  return Buffer.from(
    JSON.stringify({
      created,
      os,
      architecture,
      ...(variant === '' ? {} : { variant }),
      config,
      rootfs: { type: 'layers', diff_ids: [diffId] },
      history: [{ created, created_by: 'lamina import', comment }],
    }),
  );
}
