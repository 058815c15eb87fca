import { mkdirSync } from 'node:fs';

import { chainIdsOf, type Digest, digestOf } from './digest.ts';
import { type Growth } from './growing-file.ts';
import { tryPlaceLayerIndex } from './index-layer.ts';
import { type UnpackedArchive } from './layer-archive.ts';
import { type Limits, overLimit } from './limits.ts';
import { type Configuration, MEDIA_TYPE, parseConfiguration } from './manifest.ts';
import { type NewImage, type NewLayer } from './new-image.ts';
import { platformError } from './oci-archive.ts';
import { type Platform, platformMatches } from './platform.ts';
import { type Scratch } from './scratch.ts';
import { type NewEntry } from './index-changes.ts';
import { type Store } from './store.ts';
import { UnpackLanes } from './unpack-lanes.ts';
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

/** A layer that is to come into the store. */
interface Task {
  readonly layer: NewLayer;
  readonly diffId: Digest;
  /** Of the layer and of those below it, the bottom one first. */
  readonly chainIds: readonly Digest[];
  readonly how: Placing;
}

/** Unpacks layers that the store does not have yet, each checked before it becomes visible. */
export class LayerIngester {
  readonly #store: Store;
  readonly #scratch: Scratch;
  readonly #options: IngestOptions;
  /** Archives that were found to be what they are said to be: images of one archive share layers. */
  readonly #verified = new Set<string>();
  /** Indexes of layers that are being written. */
  readonly #indexing: Promise<void>[] = [];

  constructor(store: Store, scratch: Scratch, options: IngestOptions) {
    this.#store = store;
    this.#scratch = scratch;
    this.#options = options;
  }

  /** Unpacks layers of one image, several at once, and puts them into their places one after the other. */
  async ingest(layers: readonly NewLayer[], diffIds: readonly Digest[]): Promise<void> {
    if (layers.length !== diffIds.length) throw new Error('layers and diffIDs differ in number');
    const chainIds = chainIdsOf(diffIds);
    const tasks = layers.flatMap((layer, at): Task[] => {
      const diffId = diffIds[at];
      return diffId === undefined ? [] : [{ layer, diffId, chainIds: chainIds.slice(0, at + 1), how: 'adopt' }];
    });
    await this.#ingestAll(tasks);
  }

  /** Unpacks a layer anew, in the place of one that is damaged or lost. */
  async remake(layer: NewLayer, diffId: Digest, chainIds: readonly Digest[]): Promise<void> {
    await this.#ingestAll([{ layer, diffId, chainIds, how: 'replace' }]);
  }

  /** @throws the first error; what else is under way has ended by then. */
  async #ingestAll(tasks: readonly Task[]): Promise<void> {
    const end = new AbortController();
    const lanes = new UnpackLanes(end.signal);
    const ingested: Promise<void>[] = [];
    let failed: Task | undefined;
    for (const task of tasks) {
      const ingesting = this.#ingestLayer(task, lanes, end.signal, ingested.at(-1));
      ingesting.catch(() => (failed ??= task));
      ingested.push(ingesting);
    }
    try {
      await Promise.all(ingested);
    } catch (error) {
      end.abort(error);
      await Promise.allSettled(ingested);
      for (const task of tasks) if (task !== failed) task.layer.coming?.abandon();
      throw error;
    } finally {
      await Promise.all(this.#indexing.splice(0));
      lanes.end();
    }
  }

  /** @param below settled once the layer below is in its place. */
  async #ingestLayer(
    task: Task,
    lanes: UnpackLanes,
    signal: AbortSignal,
    below: Promise<void> | undefined,
  ): Promise<void> {
    const { layer, diffId } = task;
    let place: (() => Promise<void>) | undefined;
    try {
      place = await this.#unpack(task, lanes, signal);
      if (layer.coming !== undefined) await unlessAborted(layer.coming.done, signal);
    } catch (error) {
      throw ofLayer(diffId, error);
    }
    await below;
    try {
      await place?.();
    } catch (error) {
      throw ofLayer(diffId, error);
    }
    this.#verified.add(keyOf(task));
  }

  /** Unpacks aside; the function that it answers makes the layer visible, and needs the one below. */
  async #unpack(task: Task, lanes: UnpackLanes, signal: AbortSignal): Promise<(() => Promise<void>) | undefined> {
    const { layer, diffId, chainIds, how } = task;
    const { file } = layer;
    const { layers } = this.#store;
    const chainId = chainIds.at(-1) ?? diffId;
    const isThere = how === 'adopt' && layers.has(chainId);
    if (isThere && (this.#verified.has(keyOf(task)) || layers.isOf(chainId, file.digest))) return undefined;
    const directory = isThere ? undefined : this.#scratch.next();
    if (directory !== undefined) mkdirSync(directory, { mode: 0o700 });
    const coming = layer.coming?.read();
    const growth: Growth = (at) =>
      coming === undefined ? Promise.resolve(file.size) : unlessAborted(coming(at), signal);
    const archive = { path: file.path, size: file.size, directory, limits: this.#options.limits };
    const unpacked = await lanes.add(archive, growth);
    if (unpacked.diffId !== diffId) throw new Error(`its content has another digest: ${unpacked.diffId}`);
    return () => this.#place(task, directory, unpacked);
  }

  async #place(
    { layer, diffId, chainIds, how }: Task,
    path: string | undefined,
    unpacked: UnpackedArchive,
  ): Promise<void> {
    const { layers } = this.#store;
    const lowers = path === undefined ? [] : layers.stack(chainIds.slice(0, -1));
    const { warnings, index } = await unpacked.finish(lowers);
    this.#options.warnings.addAll(warnings.entries());
    if (path === undefined) return;
    const chainId = chainIds.at(-1) ?? diffId;
    const { size, archiveSize } = unpacked;
    const isOurs = layers[layers.has(chainId) ? how : 'adopt'](
      path,
      chainId,
      { size, blob: layer.file.digest, archiveSize },
      this.#scratch,
    );
    // Nothing waits for it but the end.
    if (isOurs) {
      this.#indexing.push(tryPlaceLayerIndex(layers, chainId, index, this.#scratch, this.#options.warnings));
    }
  }
}

/** An archive and what it is said to hold. */
function keyOf({ layer, diffId }: Task): string {
  return `${layer.file.digest} ${diffId}`;
}

/** What is awaited, or the signal's reason where that comes first. */
async function unlessAborted<T>(awaited: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([awaited, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function ofLayer(diffId: Digest, error: unknown): Error {
  return new Error(`layer ${diffId}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
