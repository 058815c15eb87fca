import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { Catalog, REF_NAME } from './catalog.ts';
import { chainIdsOf, type Digest, hexOf } from './digest.ts';
import { Holds } from './holds.ts';
import { type Image } from './image.ts';
import { type JsonObject } from './json.ts';
import { LayerDirectory } from './layer-directory.ts';
import { ImageLayout, type IndexEntry } from './layout.ts';
import { type Lock, lockShared, tryLock, withLock } from './lock.ts';
import { isManifestType, parseConfiguration, parseManifest } from './manifest.ts';
import { familiarName, fullName, parseReference } from './reference.ts';
import { removeIn, removeLeftovers, Scratch } from './scratch.ts';
import { prepareRoot, storeRoot } from './store-root.ts';

/** A manifest for the index, with the names that it is to take. */
export interface NewEntry {
  readonly names: readonly string[];
  /** The descriptor, without a name. */
  readonly json: JsonObject;
}

/**
 * The images of this machine, or of this user: an OCI image layout, beside it the layers, unpacked once for all images
 * and containers. Many processes may use it at once; every change is one rename.
 */
export class Store {
  readonly root: string;
  readonly layout: ImageLayout;
  readonly layers: LayerDirectory;
  readonly #catalog: Catalog;
  readonly #holds: Holds;

  constructor(root: string) {
    this.root = root;
    this.layout = new ImageLayout(root);
    this.layers = new LayerDirectory(root);
    this.#catalog = new Catalog(this.layout, this.layers);
    this.#holds = new Holds(root);
    prepareRoot(root);
    mkdirSync(this.#tmp, { recursive: true, mode: 0o700 });
    this.layers.prepare();
    this.#holds.prepare();
    removeLeftovers(this.#tmp, this.#lock);
    this.layout.prepare(() => this.scratch());
  }

  get #tmp(): string {
    return join(this.root, 'tmp');
  }

  get #lock(): string {
    return join(this.root, 'lock');
  }

  // Shared by those who rely on layers and blobs that no name holds yet; alone for him who removes such.
  get #collectLock(): string {
    return join(this.root, 'lock.collect');
  }

  /** A place for what is not whole yet; the caller removes it. */
  scratch(): Scratch {
    return new Scratch(this.#tmp, this.#lock);
  }

  /** Keeps layers and blobs from being collected until it is released. */
  lockContent(): Lock {
    return lockShared(this.#collectLock);
  }

  /** The right to fetch a blob; undefined while another process has it. One who is quick may get it a second time. */
  claimBlob(digest: Digest): Lock | undefined {
    const name = `${hexOf(digest)}.lock`;
    const lock = tryLock(join(this.#tmp, name));
    if (lock === undefined) return undefined;
    const release = (): void => {
      removeIn(this.#tmp, name);
      lock.release();
    };
    return { release };
  }

  /** All images that can be run, named or not. */
  list(): Image[] {
    return this.#catalog.list();
  }

  /** Finds an image by name, by id or by the first digits of its id. */
  resolve(reference: string): Image {
    return this.#catalog.resolve(reference);
  }

  find(reference: string): Image | undefined {
    return this.#catalog.find(reference);
  }

  /** As `resolve`, with the names of all manifests that the image has: for those who show or remove it. */
  describe(reference: string): Image {
    return this.#catalog.complete(this.resolve(reference));
  }

  /** Bytes of all files of the image's layers. */
  sizeOf(image: Image): number {
    return image.chainIds.reduce((sum, chainId) => sum + this.layers.size(chainId), 0);
  }

  /** Keeps the image's layers in the store for as long as `holder`, a container, needs them. */
  hold(image: Image, holder: string): void {
    this.#change((scratch) => {
      const lost = image.chainIds.find((chainId) => !this.layers.has(chainId));
      if (lost !== undefined) throw new Error(`image ${image.id} was removed meanwhile`);
      this.#holds.add({ holder, image: image.id, chainIds: image.chainIds }, scratch);
    });
  }

  /** Ends a hold; there need not be one. */
  release(holder: string): void {
    this.#holds.remove(holder);
  }

  /** Enters images, all at once. A name that another image has goes over to the new one; that image stays, nameless. */
  enter(images: readonly NewEntry[]): void {
    const taken = new Set(images.flatMap(({ names }) => names));
    this.#change((scratch) => {
      const entries = this.layout.readIndex();
      const others = entries.map((entry) =>
        taken.has(entry.descriptor.annotations[REF_NAME] ?? '') ? unnamed(entry) : entry.json,
      );
      this.layout.writeIndex(withoutSpareNameless([...others, ...images.flatMap(namedEntries)]), scratch);
    });
  }

  /** Changes index or holds: alone, and with a place to prepare it in. */
  #change(work: (scratch: Scratch) => void): void {
    const scratch = this.scratch();
    try {
      withLock(this.#lock, () => work(scratch));
    } finally {
      scratch.remove();
    }
  }

  /**
   * Takes a name off an image, and the image out of the store with its last one. Given by id, an image goes with all
   * its names.
   *
   * @returns what went: names, and the id where the image itself did.
   */
  remove(reference: string): string[] {
    const gone: string[] = [];
    this.#change((scratch) => void gone.push(...this.#removeAlone(reference, scratch)));
    this.collect();
    return gone;
  }

  // All under the lock: no container may take hold of the image between the look at the holds and the change.
  #removeAlone(reference: string, scratch: Scratch): string[] {
    const image = this.describe(reference);
    const named = /^(?:sha256:)?[0-9a-f]+$/.test(reference) ? undefined : fullName(parseReference(reference));
    const going = named !== undefined && image.names.includes(named) ? [named] : image.names;
    const isLast = going.length === image.names.length;
    const holder = this.#holds.list().find((hold) => hold.image === image.id)?.holder;
    if (isLast && holder !== undefined) {
      throw new Error(`cannot remove image ${reference}: container ${holder} uses it; "lamina rm ${holder}" first`);
    }
    const kept = this.layout.readIndex().filter(({ descriptor }) => {
      const name = descriptor.annotations[REF_NAME];
      return !image.manifests.includes(descriptor.digest) || (name === undefined ? !isLast : !going.includes(name));
    });
    this.layout.writeIndex(
      kept.map(({ json }) => json),
      scratch,
    );
    return [...going.map(familiarName), ...(isLast ? [image.id] : [])];
  }

  /** Removes layers and blobs that no image and no container needs; leaves them for later while something is loaded. */
  collect(): void {
    const lock = tryLock(this.#collectLock);
    if (lock === undefined) return;
    try {
      this.#change((scratch) => this.#collectAlone(scratch));
    } finally {
      lock.release();
    }
  }

  #collectAlone(scratch: Scratch): void {
    const blobs = new Set<Digest>();
    const chainIds = new Set(this.#holds.list().flatMap((hold) => hold.chainIds));
    for (const { descriptor } of this.layout.readIndex()) {
      // What an index of someone else's refers to is not known here, so nothing is called unneeded.
      if (!isManifestType(descriptor.mediaType)) return;
      this.#keep(descriptor.digest, blobs, chainIds);
    }
    this.layers.collect(chainIds, scratch);
    this.layout.collect(blobs);
  }

  #keep(digest: Digest, blobs: Set<Digest>, chainIds: Set<Digest>): void {
    blobs.add(digest);
    if (!this.layout.has(digest)) return;
    const manifest = parseManifest(this.layout.readDocument(digest), `manifest ${digest}`);
    for (const { digest: part } of [manifest.config, ...manifest.layers]) blobs.add(part);
    if (!this.layout.has(manifest.config.digest)) return;
    const configuration = this.layout.readDocument(manifest.config.digest);
    for (const chainId of chainIdsOf(parseConfiguration(configuration, `configuration of ${digest}`).diffIds)) {
      chainIds.add(chainId);
    }
  }
}

function unnamed({ descriptor, json }: IndexEntry): JsonObject {
  const annotations = Object.entries(descriptor.annotations).filter(([key]) => key !== REF_NAME);
  return { ...json, annotations: Object.fromEntries(annotations) };
}

function namedEntries({ names, json }: NewEntry): JsonObject[] {
  if (names.length === 0) return [json];
  return names.map((name) => ({ ...json, annotations: { [REF_NAME]: name } }));
}

// An entry without a name is only there for an image that has none.
function withoutSpareNameless(entries: readonly JsonObject[]): JsonObject[] {
  const seen = new Set(entries.filter(hasName).map((entry) => entry['digest']));
  return entries.filter((entry) => {
    if (hasName(entry)) return true;
    const isFirst = !seen.has(entry['digest']);
    seen.add(entry['digest']);
    return isFirst;
  });
}

function hasName(entry: JsonObject): boolean {
  const annotations = entry['annotations'];
  return typeof annotations === 'object' && annotations !== null && REF_NAME in annotations;
}

/** Opens the store of this machine or user, made where it is missing, cleared of what killed processes left. */
export function openStore(root = storeRoot()): Store {
  return new Store(root);
}
