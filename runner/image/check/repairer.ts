import { toBytes } from '../../../fs/sys/bytes.ts';
import { withLayer } from '../../../fs/layer-index/gather.ts';
import { type Digest } from '../digest.ts';
import { gatherLayerIndex, placeLayerIndex } from '../index-layer.ts';
import { LayerIngester } from '../ingest.ts';
import { NO_LIMITS } from '../limits.ts';
import { type Descriptor, isIndexType, isManifestType } from '../manifest.ts';
import { hostPlatform } from '../platform.ts';
import { parseReference, type Reference } from '../reference.ts';
import { BlobDownload } from '../registry/blob-download.ts';
import { Limiter } from '../registry/limiter.ts';
import { type Repository } from '../registry/repository.ts';
import { type Scratch } from '../scratch.ts';
import { type Store } from '../store.ts';
import { Warnings } from '../warnings.ts';
import { type ImageLayer } from './layer-check.ts';

/** What a repair needs from outside of the store. */
export interface RepairOptions {
  /** Reaches a repository; the caller closes what it opened. */
  readonly connect: (reference: Reference) => Promise<Repository>;
  /** Names a container that runs on a layer, which then cannot be taken from under it. */
  readonly runsOn: (chainId: Digest) => string | undefined;
}

/** Mends what a check of the store finds. */
export class Repairer {
  readonly #store: Store;
  readonly #scratch: Scratch;
  readonly #options: RepairOptions;

  constructor(store: Store, scratch: Scratch, options: RepairOptions) {
    this.#store = store;
    this.#scratch = scratch;
    this.#options = options;
  }

  /**
   * Fetches a blob, once more, from where an image that has it was pulled.
   *
   * @param origins `docker.io/library/debian@sha256:...`.
   */
  async fetch(descriptor: Descriptor, origins: readonly string[]): Promise<void> {
    const failures: string[] = [];
    for (const origin of origins) {
      try {
        await this.#fetchFrom(descriptor, parseReference(origin));
        return;
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }
    throw new Error(failures.join('; ') || 'it is not known from where it came');
  }

  async #fetchFrom(descriptor: Descriptor, reference: Reference): Promise<void> {
    const registry = await this.#options.connect(reference);
    try {
      const { digest, mediaType } = descriptor;
      if (isManifestType(mediaType) || isIndexType(mediaType)) {
        const { bytes } = await registry.document(digest);
        this.#store.layout.put(bytes, this.#scratch);
        return;
      }
      const download = new BlobDownload(registry, descriptor, this.#scratch.next(), new Limiter(1), () => undefined);
      const { path } = await download.done;
      this.#store.layout.adopt(path, digest);
    } finally {
      await registry.close();
    }
  }

  /** Writes the index of a layer anew, or takes it away where there can be none. */
  async index(chainId: Digest): Promise<void> {
    const { layers } = this.#store;
    layers.removeIndex(chainId);
    const content = withLayer(toBytes(layers.path(chainId)), gatherLayerIndex);
    if (content !== undefined) await placeLayerIndex(layers, chainId, content, this.#scratch);
  }

  /** Unpacks a layer anew from its archive. */
  async remake({ blob, diffId, chainIds }: ImageLayer): Promise<void> {
    const chainId = chainIds.at(-1);
    const container = chainId === undefined ? undefined : this.#options.runsOn(chainId);
    if (container !== undefined) throw new Error(`container ${container} runs on it: end it, and check again`);
    const { layout } = this.#store;
    const file = { path: layout.path(blob), size: layout.sizeOf(blob) ?? 0, digest: blob };
    const options = { platform: hostPlatform(), limits: NO_LIMITS, warnings: new Warnings() };
    await new LayerIngester(this.#store, this.#scratch, options).remake({ file, mediaType: '' }, diffId, chainIds);
  }
}
