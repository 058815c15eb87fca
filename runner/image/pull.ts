import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Digest } from './digest.ts';
import { type Image } from './image.ts';
import { checkLayerCount, ingest, type IngestOptions } from './ingest.ts';
import { readWithin } from './layout.ts';
import { DOCUMENT_BYTES, overLimit } from './limits.ts';
import { type Lock } from './lock.ts';
import {
  type Descriptor,
  isIndexType,
  type Manifest,
  parseConfiguration,
  parseIndex,
  parseManifest,
} from './manifest.ts';
import { type NewImage, type NewLayer } from './new-image.ts';
import { platformError } from './oci-archive.ts';
import { type Platform, platformMatches } from './platform.ts';
import { fullName, type Reference, repositoryOf } from './reference.ts';
import { BlobDownload } from './registry/blob-download.ts';
import { Limiter } from './registry/limiter.ts';
import { type RemoteDocument } from './registry/registry.ts';
import { type Repository } from './registry/repository.ts';
import { type Scratch } from './scratch.ts';
import { type Store } from './store.ts';

export interface PullOptions extends IngestOptions {
  readonly progress: PullProgress;
}

interface PullProgress {
  /** A layer is to be fetched. Answers what is to be told of its bytes. */
  begin(digest: Digest, size: number): (bytes: number) => void;
  /** A layer is in the store already. */
  settle(digest: Digest): void;
}

/** Indexes within indexes. */
const INDEX_DEPTH = 3;
/** Blobs that are fetched at once; docker's default. */
const DOWNLOADS = 3;
/** Milliseconds between two looks at a blob that another process is fetching. */
const POLL = 200;

/**
 * Takes an image from a registry into the store. A layer is unpacked while it comes; what the store has, from whichever
 * image or repository, is not fetched again.
 */
export async function pullImage(
  store: Store,
  registry: Repository,
  reference: Reference,
  options: PullOptions,
): Promise<Image> {
  const scratch = store.scratch();
  // What is found in the store now must still be there when the image is entered.
  const content = store.lockContent();
  let isWhole = false;
  const fetcher = new BlobFetcher(store, scratch, registry, options);
  try {
    const { document, digest } = await findManifest(registry, reference, options);
    const manifest = parseManifest(document.bytes, `manifest ${document.digest}`);
    const image = await fetcher.fetch(reference, document, manifest);
    const pulled = { ...image, repoDigests: [`${repositoryOf(reference)}@${digest}`] };
    await ingestAnew(store, scratch, pulled, fetcher, options);
    for (const blob of [manifest.config, ...manifest.layers]) {
      store.sources.add(blob.digest, repositoryOf(reference), scratch);
    }
    isWhole = true;
    return store.resolve(document.digest);
  } finally {
    await fetcher.end();
    content.release();
    scratch.remove();
    // Layers that came before the one that failed are whole, but nobody's.
    if (!isWhole) store.collect();
  }
}

/** Unpacks again what turns out to have come with wrong bytes, which come anew so many times. */
async function ingestAnew(
  store: Store,
  scratch: Scratch,
  image: NewImage,
  fetcher: BlobFetcher,
  options: PullOptions,
): Promise<void> {
  for (;;) {
    try {
      await ingest(store, scratch, [image], options);
      return;
    } catch (error) {
      if (!(await fetcher.wasReplaced())) throw error;
    }
  }
}

/** A manifest, and the digest of what the reference names: the same, or an index that has it for the platform. */
interface Found {
  readonly document: RemoteDocument;
  readonly digest: Digest;
}

async function findManifest(
  registry: Repository,
  reference: Reference,
  { platform, limits }: PullOptions,
): Promise<Found> {
  let target: string = reference.digest ?? reference.tag;
  let first: Digest | undefined;
  let chosen: Descriptor | undefined;
  for (let depth = 0; depth <= INDEX_DEPTH; depth++) {
    const document = await registry.document(target);
    first ??= document.digest;
    if (chosen !== undefined) checkAgainst(chosen, document);
    if (!isIndexType(document.mediaType)) return { document, digest: first };
    const entries = parseIndex(document.bytes, `index ${document.digest}`);
    if (entries.length > limits.manifests) {
      throw overLimit(`index ${document.digest} has ${entries.length} entries, which`, limits, 'manifests');
    }
    chosen = choose(entries, reference, platform);
    target = chosen.digest;
  }
  throw new Error(`${fullName(reference)} is an index within more than ${INDEX_DEPTH} others`);
}

/** The digest alone tells one content from another; that index and content agree on the rest keeps readers from disagreeing. */
function checkAgainst({ digest, size, mediaType }: Descriptor, document: RemoteDocument): void {
  if (document.bytes.length !== size) {
    throw new Error(`manifest ${digest} has ${document.bytes.length} bytes, where its index says ${size}`);
  }
  if (document.mediaType !== mediaType) {
    const types = `${JSON.stringify(document.mediaType)}, where its index says ${JSON.stringify(mediaType)}`;
    throw new Error(`manifest ${digest} is of another type than what refers to it says: ${types}`);
  }
}

/** The entry for the platform; one that does not name any may be an index that does. */
function choose(entries: readonly Descriptor[], reference: Reference, wanted: Platform): Descriptor {
  const chosen =
    entries.find(({ platform }) => platform !== undefined && platformMatches(wanted, platform)) ??
    entries.find(({ platform }) => platform === undefined);
  if (chosen !== undefined) return chosen;
  // buildkit's records of how an image was built are for no machine.
  const offered = entries.flatMap(({ platform }) => platform ?? []).filter(({ os }) => os !== 'unknown');
  throw platformError(fullName(reference), offered, wanted);
}

/** One that is there already, or that the manifest names twice. */
function checkSize({ file }: NewLayer, { digest, size }: Descriptor): void {
  if (file.size !== size) throw new Error(`layer ${digest} has ${file.size} bytes, where its manifest says ${size}`);
}

/** Fetches what the store lacks of one image, each blob by one process alone. */
class BlobFetcher {
  readonly #store: Store;
  readonly #scratch: Scratch;
  readonly #registry: Repository;
  readonly #options: PullOptions;
  readonly #limiter = new Limiter(DOWNLOADS);
  readonly #claims: Lock[] = [];
  readonly #downloads: BlobDownload[] = [];

  constructor(store: Store, scratch: Scratch, registry: Repository, options: PullOptions) {
    this.#store = store;
    this.#scratch = scratch;
    this.#registry = registry;
    this.#options = options;
  }

  async fetch(reference: Reference, document: RemoteDocument, manifest: Manifest): Promise<NewImage> {
    const name = fullName(reference);
    this.#checkLayers(name, manifest.layers);
    const config = await this.#fetchConfig(manifest.config);
    // Before gigabytes are fetched for nothing.
    const { platform } = parseConfiguration(config, `configuration ${manifest.config.digest}`);
    if (!platformMatches(this.#options.platform, platform))
      throw platformError(name, [platform], this.#options.platform);
    const layers = await this.#fetchLayers(manifest.layers);
    const names = reference.tag === '' ? [] : [name];
    return { names, title: name, config, manifest: document, layers };
  }

  #checkLayers(name: string, layers: readonly Descriptor[]): void {
    const { limits } = this.#options;
    checkLayerCount(name, layers.length, limits);
    const bytes = layers.reduce((sum, { size }) => sum + size, 0);
    if (bytes > limits.archiveBytes)
      throw overLimit(`image ${name} has layers of ${bytes} bytes, which`, limits, 'archive-size');
  }

  /** Whether a blob that was read was wrong, and is right now. */
  async wasReplaced(): Promise<boolean> {
    for (const download of this.#downloads) if (await download.wasReplaced()) return true;
    return false;
  }

  /** Ends what is still under way, so that nothing writes to a directory that goes. */
  async end(): Promise<void> {
    for (const download of this.#downloads) download.cancel();
    await Promise.allSettled(this.#downloads.map(({ done }) => done));
    for (const claim of this.#claims) claim.release();
  }

  async #fetchConfig(descriptor: Descriptor): Promise<Buffer> {
    const { digest, size } = descriptor;
    const { layout } = this.#store;
    if (layout.has(digest)) return layout.readDocument(digest);
    if (size > DOCUMENT_BYTES) {
      throw new Error(`configuration ${digest} has ${size} bytes, over the limit of ${DOCUMENT_BYTES}`);
    }
    const { path } = await this.#start(descriptor, () => undefined).done;
    return readWithin(path, DOCUMENT_BYTES);
  }

  async #fetchLayers(descriptors: readonly Descriptor[]): Promise<NewLayer[]> {
    const digests = [...new Set(descriptors.map(({ digest }) => digest))];
    // In an order that all processes share, so that no two of them wait for each other.
    for (const digest of digests.sort()) if (!this.#store.layout.has(digest)) await this.#claim(digest);
    const layers = new Map<Digest, NewLayer>();
    return descriptors.map((descriptor) => {
      const layer = layers.get(descriptor.digest) ?? this.#fetchLayer(descriptor);
      checkSize(layer, descriptor);
      layers.set(descriptor.digest, layer);
      return layer;
    });
  }

  #fetchLayer(descriptor: Descriptor): NewLayer {
    const { digest, size, mediaType } = descriptor;
    const { layout } = this.#store;
    if (layout.has(digest)) {
      this.#options.progress.settle(digest);
      const path = layout.path(digest);
      return { file: { path, size: statSync(path).size, digest }, mediaType };
    }
    const download = this.#start(descriptor, this.#options.progress.begin(digest, size));
    return { file: { path: download.path, size, digest }, mediaType, coming: download };
  }

  #start(descriptor: Descriptor, progress: (bytes: number) => void): BlobDownload {
    const download = new BlobDownload(this.#registry, descriptor, this.#scratch.next(), this.#limiter, progress);
    this.#downloads.push(download);
    return download;
  }

  /** Waits while another process fetches the blob, until it is there or ours to fetch. */
  async #claim(digest: Digest): Promise<void> {
    for (;;) {
      const claim = this.#store.claimBlob(digest);
      if (claim !== undefined) {
        this.#claims.push(claim);
        return;
      }
      await sleep(POLL);
    }
  }
}
