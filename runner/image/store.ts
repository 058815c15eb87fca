import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { BlobSources } from './blob-sources.ts';
import { Catalog, type CatalogEntry } from './catalog.ts';
import { type Digest, hexOf } from './digest.ts';
import { nameOf } from './entry-names.ts';
import { hasContainer, type Hold, Holds } from './holds.ts';
import { type Image } from './image.ts';
import { named, namedEntries, type NewEntry, withoutNames, withoutSpares } from './index-changes.ts';
import { type CollectedLayer, LayerDirectory } from './layer-directory.ts';
import { ImageLayout, type IndexEntry } from './layout.ts';
import { type Lock, lockShared, tryLock, withLock } from './lock.ts';
import { type Reached, reach } from './reach.ts';
import { familiarName } from './reference.ts';
import { planRemoval, type Removal } from './removal.ts';
import { removeIn, removeLeftovers, Scratch } from './scratch.ts';
import { prepareRoot, storeRoot } from './store-root.ts';
import { removeFile } from './remove-file.ts';

/** What a collection has removed. */
export interface Collected {
  readonly layers: readonly CollectedLayer[];
  readonly bytes: number;
  /** Documents of images that kept it from removing anything. */
  readonly damaged: readonly Digest[];
}

/** Names and images that have gone. */
export interface RemovedImage {
  /** Names and repository digests, as docker shows them. */
  readonly untagged: readonly string[];
  /** The image, where it went with its last name, and its layers that no other needs. */
  readonly deleted: readonly Digest[];
}

/** What `remove` has done. */
export interface Removed extends RemovedImage {
  readonly collected: Collected;
}

/** What `prune` has done. */
export interface Pruned {
  readonly removed: readonly RemovedImage[];
  readonly collected: Collected;
}

const NOTHING_COLLECTED: Collected = { layers: [], bytes: 0, damaged: [] };
/** Its presence says that something is to be collected. */
const PENDING_FILE = 'collect.pending';

/**
 * The images of this machine, or of this user: an OCI image layout, beside it the layers, unpacked once for all images
 * and containers. Many processes may use it at once; every change is one rename.
 */
export class Store {
  readonly root: string;
  readonly layout: ImageLayout;
  readonly layers: LayerDirectory;
  readonly sources: BlobSources;
  readonly #catalog: Catalog;
  readonly #holds: Holds;

  constructor(root: string) {
    this.root = root;
    this.layout = new ImageLayout(root);
    this.layers = new LayerDirectory(root);
    this.sources = new BlobSources(root);
    this.#catalog = new Catalog(this.layout, this.layers);
    this.#holds = new Holds(root);
    prepareRoot(root);
    mkdirSync(this.#tmp, { recursive: true, mode: 0o700 });
    this.layers.prepare();
    this.#holds.prepare();
    this.sources.prepare();
    removeLeftovers(this.#tmp, this.#lock);
    this.layout.prepare(() => this.scratch());
    if (existsSync(this.#pending)) this.collect();
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

  /** Entries of the index, also of what is damaged or no image. */
  entries(): CatalogEntry[] {
    return this.#catalog.entries();
  }

  /** All images, named or not. */
  list(): Image[] {
    return this.#catalog.list();
  }

  /** Finds an image by name, by id or by the first digits of its id. */
  resolve(reference: string): Image {
    return this.#catalog.resolve(reference);
  }

  /** Whether a reference means something, be it damaged. */
  isThere(reference: string): boolean {
    return this.#catalog.has(reference);
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
    this.#enterAll(() => images.flatMap(namedEntries));
  }

  /** Gives an image more names, which other images lose. */
  tag(reference: string, names: readonly string[]): void {
    this.#enterAll(() => {
      const [source] = this.#selectWhole(reference).entries;
      return names.map((name) => named(source, name));
    });
  }

  #enterAll(create: () => readonly IndexEntry[]): void {
    this.#change((scratch) => {
      const entries = create();
      const taken = new Set(entries.flatMap(({ descriptor }) => nameOf(descriptor) ?? []));
      this.layout.writeIndex(withoutSpares([...withoutNames(this.#catalog.entries(), taken), ...entries]), scratch);
    });
  }

  #selectWhole(reference: string): {
    readonly entries: readonly [CatalogEntry, ...CatalogEntry[]];
    readonly image: Image;
  } {
    const { entries, image } = this.#catalog.select(reference);
    const [first, ...rest] = entries;
    if (first !== undefined && image !== undefined) return { entries: [first, ...rest], image };
    throw new Error(`image ${reference} is damaged or not all there; "lamina system check" says what is wrong with it`);
  }

  /**
   * Takes names off an image, all of them where none is given. The image stays, under its id.
   *
   * @returns the names that went, in full.
   */
  untag(reference: string, names: readonly string[]): readonly string[] {
    let going: readonly string[] = names;
    this.#change((scratch) => {
      const { image } = this.#selectWhole(reference);
      const stranger = names.find((name) => !image.names.includes(name));
      if (stranger !== undefined) throw new Error(`image ${reference} has no name ${familiarName(stranger)}`);
      if (names.length === 0) going = image.names;
      this.layout.writeIndex(withoutSpares(withoutNames(this.#catalog.entries(), new Set(going))), scratch);
    });
    return going;
  }

  /** Changes index or holds: alone, and with a place to prepare it in. */
  #change<T>(work: (scratch: Scratch) => T): T {
    const scratch = this.scratch();
    try {
      return withLock(this.#lock, () => work(scratch));
    } finally {
      scratch.remove();
    }
  }

  /**
   * Takes a name off an image, and the image out of the store with its last one. Given by id, an image goes with all
   * its names.
   *
   * @param force also an image of names in several repositories, by its id; one that a container uses loses its names
   *   alone.
   */
  remove(reference: string, force = false): Removed {
    const { removal, blobs } = this.#removeEntries(reference, force);
    const collected = this.collect(blobs);
    return { ...removedBy(removal, collected), collected };
  }

  /** Removes all images that `isWanted` and that no container uses, and all else that nobody needs. */
  prune(isWanted: (image: Image) => boolean): Pruned {
    const users = this.users();
    const going = this.list().filter((image) => !users.has(image.id) && isWanted(image));
    const removals = going.flatMap(({ id }) => this.#tryRemoveEntries(id));
    const blobs = new Set(removals.flatMap((one) => [...one.blobs]));
    const collected = this.collect(blobs);
    return { removed: removals.map(({ removal }) => removedBy(removal, collected)), collected };
  }

  // One that a container has begun to use meanwhile stays.
  #tryRemoveEntries(id: Digest): { readonly removal: Removal; readonly blobs: ReadonlySet<Digest> }[] {
    try {
      return [this.#removeEntries(id, true, true)];
    } catch {
      return [];
    }
  }

  // All under the lock: no container may take hold of the image between the look at the holds and the change.
  #removeEntries(
    reference: string,
    force: boolean,
    wholly = false,
  ): { readonly removal: Removal; readonly blobs: ReadonlySet<Digest> } {
    return this.#change((scratch) => {
      const removal = planRemoval(this.#catalog, this.#liveHolds(), reference, force);
      if (wholly && removal.image === undefined) throw new Error(`image ${reference} is in use`);
      const descriptors = removal.going.map(({ descriptor }) => descriptor);
      const { blobs } = reach(this.layout, descriptors);
      this.#announceCollection();
      this.layout.writeIndex(removal.kept, scratch);
      return { removal, blobs };
    });
  }

  /** Holds of containers that are there: a process that was killed may have left others. */
  #liveHolds(): Hold[] {
    return this.#holds.list().filter(({ holder }) => hasContainer(this.root, holder));
  }

  /** Containers that hold an image. */
  holders(): Set<string> {
    const damaged = new Set(this.#holds.damaged().map(({ holder }) => holder));
    return new Set(readdirSync(join(this.root, 'holds')).filter((holder) => !damaged.has(holder)));
  }

  /** Holds that cannot be read, and why. */
  damagedHolds(): { readonly holder: string; readonly problem: string }[] {
    return this.#holds.damaged();
  }

  /** Ids of the images that containers use, with those containers. */
  users(): Map<Digest, string[]> {
    const users = new Map<Digest, string[]>();
    for (const { holder, image } of this.#liveHolds()) users.set(image, [...(users.get(image) ?? []), holder]);
    return users;
  }

  // Whoever opens the store next ends what this process does not come to.
  #announceCollection(): void {
    writeFileSync(this.#pending, '', { mode: 0o600 });
  }

  get #pending(): string {
    return join(this.root, PENDING_FILE);
  }

  /**
   * Removes layers and blobs that no image and no container needs; leaves them for later while something is loaded.
   *
   * @param unneeded blobs that are known to be nobody's, if they are not needed: others that another program may just
   *   be putting there stay.
   */
  collect(unneeded: ReadonlySet<Digest> = new Set()): Collected {
    const lock = tryLock(this.#collectLock);
    if (lock === undefined) return NOTHING_COLLECTED;
    try {
      const collected = this.#change((scratch) => this.#collectAlone(scratch, unneeded));
      if (collected.damaged.length === 0) removeFile(this.#pending);
      return collected;
    } finally {
      lock.release();
    }
  }

  #collectAlone(scratch: Scratch, unneeded: ReadonlySet<Digest>): Collected {
    for (const { holder } of this.#holds.list()) if (!hasContainer(this.root, holder)) this.#holds.remove(holder);
    const needed = this.#reach();
    // What a damaged document refers to is not known, so nothing is called unneeded.
    if (needed.damaged.length > 0) return { ...NOTHING_COLLECTED, damaged: needed.damaged };
    const spare = this.#spareBlobs(needed.blobs, unneeded);
    const layers = this.layers.collect(needed.chainIds, scratch);
    const blobBytes = spare.reduce((sum, digest) => sum + (this.layout.sizeOf(digest) ?? 0), 0);
    for (const digest of spare) this.layout.remove(digest);
    this.sources.collect(needed.blobs);
    return { layers, bytes: layers.reduce((sum, { size }) => sum + size, blobBytes), damaged: [] };
  }

  #spareBlobs(needed: ReadonlySet<Digest>, unneeded: ReadonlySet<Digest>): Digest[] {
    return this.layout
      .digests()
      .filter((digest) => !needed.has(digest) && (unneeded.has(digest) || !this.layout.mayBeComing(digest)));
  }

  /** What is in the store for nobody, and for how many bytes. */
  spare(): { readonly blobs: readonly Digest[]; readonly layers: readonly Digest[]; readonly bytes: number } {
    const needed = this.#reach();
    if (needed.damaged.length > 0) return { blobs: [], layers: [], bytes: 0 };
    const blobs = this.#spareBlobs(needed.blobs, new Set());
    const layers = this.layers.chainIds().filter((chainId) => !needed.chainIds.has(chainId));
    const blobBytes = blobs.reduce((sum, digest) => sum + (this.layout.sizeOf(digest) ?? 0), 0);
    return {
      blobs,
      layers,
      bytes: layers.reduce(
        (sum, chainId) => sum + this.layers.size(chainId) + this.layers.indexSize(chainId),
        blobBytes,
      ),
    };
  }

  /** What images and containers need. */
  #reach(): Reached {
    const descriptors = this.layout.readIndex().map(({ descriptor }) => descriptor);
    const { blobs, chainIds, damaged } = reach(this.layout, descriptors);
    const held = this.#liveHolds().flatMap((hold) => hold.chainIds);
    return { blobs, chainIds: new Set([...chainIds, ...held]), damaged };
  }
}

function removedBy({ untagged, image }: Removal, { layers }: Collected): RemovedImage {
  if (image === undefined) return { untagged, deleted: [] };
  const gone = new Set(layers.map(({ chainId }) => chainId));
  return { untagged, deleted: [image.id, ...image.chainIds.filter((chainId) => gone.has(chainId)).toReversed()] };
}

/** Opens the store of this machine or user, made where it is missing, cleared of what killed processes left. */
export function openStore(root = storeRoot()): Store {
  return new Store(root);
}
