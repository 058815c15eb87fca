import { existsSync } from 'node:fs';
import { type BlobName } from './blob-sources.ts';
import { type Digest } from './digest.ts';
import { type Image } from './image.ts';
import { type Descriptor, isForeign, isManifestType } from './manifest.ts';
import { type Packing } from './compress.ts';
import { LayerPacker, type OutgoingBlob } from './pack-layers.ts';
import { type Reference, repositoryOf } from './reference.ts';
import { BlobUpload } from './registry/blob-upload.ts';
import { Limiter } from './registry/limiter.ts';
import { type Registry, type RemoteDocument } from './registry/registry.ts';
import { type Store } from './store.ts';

/** Why a layer is not sent. */
type Settled = 'exists' | 'mounted' | 'foreign';

interface PushProgress {
  /** A layer is to be sent. Answers what is to be told of its bytes. */
  begin(digest: Digest, size: number): (bytes: number) => void;
  /** A layer need not be sent. */
  settle(digest: Digest, how: Settled): void;
}

export interface PushOptions {
  readonly progress: PushProgress;
  /** How layers are to be packed that are plain in the store; undefined to send all as it is. */
  readonly packing: Packing | undefined;
}

/** Blobs that are sent at once; docker's default. */
const UPLOADS = 5;
/** Repositories that a registry is asked to take a blob from; docker's limit. */
const MOUNTS = 4;

/**
 * Sends an image of the store to a registry: the blobs that it lacks, then the manifest, byte for byte as it is in the
 * store unless layers are to be packed. The registry shows nothing before it has all.
 *
 * @returns digest and size of the manifest.
 */
export async function pushImage(
  store: Store,
  image: Image,
  registry: Registry,
  reference: Reference,
  options: PushOptions,
): Promise<BlobName> {
  const scratch = store.scratch();
  // No blob may be collected before it is sent.
  const content = store.lockContent();
  try {
    const packer = new LayerPacker(store, scratch, registry, options.packing);
    const { document, blobs } = await packer.pack(readManifest(store, image));
    const { bytes, digest } = document;
    if (reference.digest !== undefined && reference.digest !== digest) {
      throw new Error(`its manifest has the digest ${digest}, not ${reference.digest}`);
    }
    await new BlobSender(store, registry, reference, options.progress).send(blobs);
    await registry.putDocument(reference.tag === '' ? digest : reference.tag, document);
    for (const { descriptor } of blobs) store.sources.add(descriptor.digest, repositoryOf(reference), scratch);
    return { digest, size: bytes.length };
  } finally {
    content.release();
    scratch.remove();
  }
}

/** The manifest by whose name the image was found, or any of its. */
function readManifest(store: Store, image: Image): RemoteDocument {
  const [digest] = image.manifests;
  const entry = store.layout.readIndex().find(({ descriptor }) => descriptor.digest === digest);
  if (digest === undefined || entry === undefined) throw new Error(`image ${image.id} was removed meanwhile`);
  const { mediaType } = entry.descriptor;
  if (!isManifestType(mediaType)) throw new Error(`manifest ${digest} is of type ${JSON.stringify(mediaType)}`);
  return { bytes: store.layout.readDocument(digest), digest, mediaType };
}

/** Brings the blobs of one image to a repository. */
class BlobSender {
  readonly #store: Store;
  readonly #registry: Registry;
  readonly #reference: Reference;
  readonly #progress: PushProgress;
  readonly #end = new AbortController();
  /** Uploads that the registry began where it was asked to take a blob from elsewhere, and could not. */
  readonly #begun = new Map<Digest, URL>();

  constructor(store: Store, registry: Registry, reference: Reference, progress: PushProgress) {
    this.#store = store;
    this.#registry = registry;
    this.#reference = reference;
    this.#progress = progress;
  }

  async send(blobs: readonly OutgoingBlob[]): Promise<void> {
    const different = [...new Map(blobs.map((blob) => [blob.descriptor.digest, blob])).values()];
    const missing: OutgoingBlob[] = [];
    await this.#each(different, async (blob) => {
      const how = await this.#settle(blob.descriptor);
      if (how === undefined) missing.push(blob);
      else this.#progress.settle(blob.descriptor.digest, how);
    });
    // Before gigabytes are sent for nothing.
    for (const { descriptor, path } of missing) if (!existsSync(path)) throw lostBlob(descriptor);
    await this.#each(missing, (blob) => this.#upload(blob));
  }

  /** Works on so many at once; the first failure ends the others. */
  async #each(blobs: readonly OutgoingBlob[], work: (blob: OutgoingBlob) => Promise<void>): Promise<void> {
    const limiter = new Limiter(UPLOADS);
    const failures: unknown[] = [];
    const guarded = async (blob: OutgoingBlob): Promise<void> => {
      if (failures.length > 0) return;
      await work(blob).catch((error: unknown) => {
        failures.push(error);
        this.#end.abort();
      });
    };
    await Promise.all(blobs.map((blob) => limiter.run(() => guarded(blob))));
    if (failures.length > 0) throw failures[0];
  }

  /** Why the blob need not be sent; undefined where it must be. */
  async #settle(descriptor: Descriptor): Promise<Settled | undefined> {
    const { digest } = descriptor;
    if (isForeign(descriptor)) return 'foreign';
    if (await this.#registry.has(digest)) return 'exists';
    for (const path of this.#candidates(digest)) {
      const begun = await this.#registry.mount(digest, path);
      const before = this.#begun.get(digest);
      if (before !== undefined && begun !== undefined) await this.#registry.abandonUpload(before);
      if (begun === true) return 'mounted';
      if (begun !== undefined) this.#begun.set(digest, begun);
    }
    return undefined;
  }

  /** Other repositories of this registry that have had the blob. */
  #candidates(digest: Digest): string[] {
    const prefix = `${this.#reference.domain}/`;
    const own = repositoryOf(this.#reference);
    const known = this.#store.sources.repositories(digest).filter((name) => name.startsWith(prefix) && name !== own);
    return known.slice(0, MOUNTS).map((name) => name.slice(prefix.length));
  }

  async #upload({ descriptor, path }: OutgoingBlob): Promise<void> {
    const progress = this.#progress.begin(descriptor.digest, descriptor.size);
    const options = { progress, signal: this.#end.signal };
    await new BlobUpload(this.#registry, descriptor, path, options, this.#begun.get(descriptor.digest)).run();
  }
}

function lostBlob({ digest }: Descriptor): Error {
  return new Error(
    `blob ${digest} is in neither the store nor the registry: its layer is only unpacked here; pull or load the image again`,
  );
}
