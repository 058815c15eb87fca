import { createHash, type Hash } from 'node:crypto';
import { createReadStream, mkdirSync } from 'node:fs';

import { toBytes } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { type ByteSource } from './compression.ts';
import { chainIdsOf, type Digest, digestOf, finishDigest } from './digest.ts';
import { type Limits, overLimit } from './limits.ts';
import { type Configuration, MEDIA_TYPE, parseConfiguration } from './manifest.ts';
import { type NewImage, type NewLayer } from './new-image.ts';
import { platformError } from './oci-archive.ts';
import { type Platform, platformMatches } from './platform.ts';
import { decompressInProportion } from './proportion.ts';
import { type Scratch } from './scratch.ts';
import { type NewEntry } from './index-changes.ts';
import { type Store } from './store.ts';
import { unpackLayer } from './unpack.ts';
import { type Warnings } from './warnings.ts';

/** Conditions of taking images into the store. */
export interface IngestOptions {
  readonly platform: Platform;
  readonly limits: Limits;
  readonly warnings: Warnings;
}

/**
 * Takes images into the store: unpacks their layers, keeps their blobs, and when all of that is on disk enters all
 * images at once. Where anything fails, no image is there, and no name has changed hands.
 */
export async function ingest(
  store: Store,
  scratch: Scratch,
  images: readonly NewImage[],
  options: IngestOptions,
): Promise<Digest[]> {
  const lock = store.lockContent();
  try {
    const layers = new LayerIngester(store, scratch, options);
    for (const image of images) await layers.ingest(image.layers, checkImage(image, options).diffIds);
    // Only now: until the last layer is unpacked, archives that images share are read from where they are.
    const entries = images.map((image) => keepBlobs(store, scratch, image));
    // On disk by now: layers and blobs before they got their names, and the names with the last document that was put.
    store.enter(entries);
    return images.map(({ config }) => digestOf(config));
  } finally {
    lock.release();
  }
}

function checkImage(image: NewImage, { platform, limits }: IngestOptions): Configuration {
  checkLayerCount(image.title, image.layers.length, limits);
  const configuration = parseConfiguration(image.config, `configuration of ${image.title}`);
  if (!platformMatches(platform, configuration.platform)) {
    throw platformError(image.title, [configuration.platform], platform);
  }
  if (configuration.diffIds.length !== image.layers.length) {
    throw new Error(
      `image ${image.title} has ${image.layers.length} layers, where its configuration names ${configuration.diffIds.length}`,
    );
  }
  if (image.layers.length === 0) throw new Error(`image ${image.title} has no layers`);
  return configuration;
}

/** Thousands of layers cost a look at each for every name in the next. */
export function checkLayerCount(title: string, count: number, limits: Limits): void {
  if (count > limits.layers) throw overLimit(`image ${title} has ${count} layers, which`, limits, 'layers');
}

function keepBlobs(store: Store, scratch: Scratch, image: NewImage): NewEntry {
  for (const { file } of image.layers) store.layout.adopt(file.path, file.digest);
  const id = store.layout.put(image.config, scratch);
  const manifest = image.manifest ?? { bytes: createManifest(image, id), mediaType: MEDIA_TYPE.manifest };
  const digest = store.layout.put(manifest.bytes, scratch);
  const { platform } = parseConfiguration(image.config, `configuration of ${image.title}`);
  const { names, repoDigests = [] } = image;
  return { names, repoDigests, json: describeManifest(digest, manifest.bytes.length, manifest.mediaType, platform) };
}

function describeManifest(digest: Digest, size: number, mediaType: string, platform: Platform): NewEntry['json'] {
  const { os, architecture, variant } = platform;
  return { mediaType, digest, size, platform: { os, architecture, ...(variant === '' ? {} : { variant }) } };
}

function createManifest({ config, layers }: NewImage, id: Digest): Buffer {
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.manifest,
    config: { mediaType: MEDIA_TYPE.config, digest: id, size: config.length },
    layers: layers.map(({ file, mediaType }) => ({ mediaType, digest: file.digest, size: file.size })),
  };
  return Buffer.from(JSON.stringify(manifest));
}

/** How a layer comes to its place: only where there is none, or instead of a damaged one. */
type Placing = 'adopt' | 'replace';

/** Unpacks layers that the store does not have yet, each checked before it becomes visible. */
export class LayerIngester {
  readonly #store: Store;
  readonly #scratch: Scratch;
  readonly #options: IngestOptions;
  /** Archives that were found to be what they are said to be: images of one archive share layers. */
  readonly #verified = new Set<string>();

  constructor(store: Store, scratch: Scratch, options: IngestOptions) {
    this.#store = store;
    this.#scratch = scratch;
    this.#options = options;
  }

  async ingest(layers: readonly NewLayer[], diffIds: readonly Digest[]): Promise<void> {
    const chainIds = chainIdsOf(diffIds);
    for (const [at, layer] of layers.entries()) {
      const diffId = diffIds[at];
      if (diffId === undefined) throw new Error('layers and diffIDs differ in number');
      try {
        await this.#ingestLayer(layer, diffId, chainIds.slice(0, at + 1));
      } catch (error) {
        throw new Error(`layer ${diffId}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      }
    }
  }

  /** Unpacks a layer anew, in the place of one that is damaged or lost. */
  async remake(layer: NewLayer, diffId: Digest, chainIds: readonly Digest[]): Promise<void> {
    await this.#ingestLayer(layer, diffId, chainIds, 'replace');
  }

  async #ingestLayer(
    { file, coming }: NewLayer,
    diffId: Digest,
    chainIds: readonly Digest[],
    how: Placing = 'adopt',
  ): Promise<void> {
    const chainId = chainIds.at(-1) ?? diffId;
    const isThere = how === 'adopt' && this.#store.layers.has(chainId);
    const key = `${file.digest} ${diffId}`;
    if (isThere && (this.#verified.has(key) || this.#store.layers.isOf(chainId, file.digest))) {
      await coming?.done;
      return;
    }
    const hash = createHash('sha256');
    const counted = { bytes: 0 };
    const archive = coming?.read() ?? createReadStream(file.path, { highWaterMark: 1 << 18 });
    const content = hashed(
      decompressInProportion(archive, this.#options.limits, 'layer-size', file.size),
      hash,
      counted,
    );
    const record = { blob: file.digest, counted };
    const finish = isThere ? await drain(content) : await this.#unpack(content, chainIds, record, how);
    const digest = finishDigest(hash);
    if (digest !== diffId) throw new Error(`its content has another digest: ${digest}`);
    await coming?.done;
    finish();
    this.#verified.add(key);
  }

  /** Unpacks aside; the function that it answers makes the layer visible. */
  async #unpack(
    content: ByteSource,
    chainIds: readonly Digest[],
    { blob, counted }: { readonly blob: Digest; readonly counted: { readonly bytes: number } },
    how: Placing,
  ): Promise<() => void> {
    const { layers } = this.#store;
    const chainId = chainIds.at(-1) ?? blob;
    const path = this.#scratch.next();
    mkdirSync(path, { mode: 0o700 });
    const directory = check(openat(-1, toBytes(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open directory ${path}`);
    try {
      const lowers = layers.stack(chainIds.slice(0, -1)).map(toBytes);
      const { size } = await unpackLayer(content, { directory, lowers, ...this.#options });
      return () => {
        const place = layers.has(chainId) ? how : 'adopt';
        layers[place](path, chainId, { size, blob, archiveSize: counted.bytes }, this.#scratch);
      };
    } finally {
      close(directory);
    }
  }
}

async function drain(content: AsyncGenerator<Uint8Array>): Promise<() => void> {
  for (let next = await content.next(); next.done !== true;) next = await content.next();
  return () => undefined;
}

async function* hashed(source: ByteSource, hash: Hash, counted: { bytes: number }): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    hash.update(chunk);
    counted.bytes += chunk.length;
    yield chunk;
  }
}
