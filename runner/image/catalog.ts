import { toBytes } from '../../fs/sys/bytes.ts';
import { chainIdsOf, type Digest, hexOf, isDigest } from './digest.ts';
import { nameOf, normalName, repoDigestsOf } from './entry-names.ts';
import { type Image } from './image.ts';
import { type LayerDirectory } from './layer-directory.ts';
import { type ImageLayout, type IndexEntry } from './layout.ts';
import {
  type Descriptor,
  isIndexType,
  isManifestType,
  parseConfiguration,
  parseIndex,
  parseManifest,
} from './manifest.ts';
import { hostPlatform, type Platform, platformMatches } from './platform.ts';
import { parseReference, type Reference, repositoryOf } from './reference.ts';

/** Indexes within indexes; by digest none can hold itself, but a chain can be as long as its maker likes. */
const INDEX_DEPTH = 4;

/** An entry of the store's index: of an image, or of an index of someone else's with one image a platform. */
export interface CatalogEntry extends IndexEntry {
  /** Undefined also where a later entry has the same name: skopeo adds its own beside ours. */
  readonly name: string | undefined;
  readonly repoDigests: readonly string[];
}

/** What a reference means: entries of the index, and the image that they are of; none where it is damaged. */
export interface Selection {
  readonly entries: readonly CatalogEntry[];
  readonly image: Image | undefined;
  /** Not by a name: all that the image has is meant. */
  readonly byId: boolean;
}

/** Reads what images there are. What is damaged, or no image, is not among them. */
export class Catalog {
  readonly #layout: ImageLayout;
  readonly #layers: LayerDirectory;

  constructor(layout: ImageLayout, layers: LayerDirectory) {
    this.#layout = layout;
    this.#layers = layers;
  }

  entries(): CatalogEntry[] {
    const taken = new Map<string, Digest>();
    const entries = this.#layout.readIndex().toReversed();
    const named = entries.map(({ descriptor, json }): CatalogEntry => {
      const name = nameOf(descriptor);
      const isTaken = name !== undefined && (taken.get(name) ?? descriptor.digest) !== descriptor.digest;
      if (name !== undefined && !isTaken) taken.set(name, descriptor.digest);
      return { descriptor, json, name: isTaken ? undefined : name, repoDigests: repoDigestsOf(descriptor) };
    });
    return named.reverse();
  }

  /** All images, each once, with all names of all manifests that it has. */
  list(): Image[] {
    const images = new Map<Digest, Image>();
    for (const own of this.#byDigestOfEntry().values()) {
      const image = this.#tryOpen(own);
      if (image === undefined) continue;
      const known = images.get(image.id);
      images.set(image.id, known === undefined ? image : merge(known, image));
    }
    return [...images.values()];
  }

  #byDigestOfEntry(): Map<Digest, CatalogEntry[]> {
    const groups = new Map<Digest, CatalogEntry[]>();
    for (const entry of this.entries()) {
      const { digest } = entry.descriptor;
      groups.set(digest, [...(groups.get(digest) ?? []), entry]);
    }
    return groups;
  }

  #tryOpen(entries: readonly CatalogEntry[]): Image | undefined {
    try {
      return this.#open(entries);
    } catch {
      // The others are to be seen all the same; asked for by its name, it says what is wrong with it.
      return undefined;
    }
  }

  /** @param entries all of one digest. */
  #open(entries: readonly CatalogEntry[]): Image | undefined {
    const manifest = entries[0] === undefined ? undefined : this.#manifestFor(entries[0].descriptor, 0);
    if (manifest === undefined || !this.#layout.has(manifest)) return undefined;
    const { config: descriptor } = parseManifest(this.#layout.readDocument(manifest), `manifest ${manifest}`);
    if (!this.#layout.has(descriptor.digest)) return undefined;
    const where = `configuration ${descriptor.digest}`;
    const configuration = parseConfiguration(this.#layout.readDocument(descriptor.digest), where);
    const chainIds = chainIdsOf(configuration.diffIds);
    const unpacked = chainIds.every((chainId) => this.#layers.has(chainId));
    return {
      id: descriptor.digest,
      manifests: [manifest],
      names: unique(entries.flatMap(({ name }) => name ?? [])),
      repoDigests: unique(entries.flatMap(({ repoDigests }) => repoDigests)),
      chainIds,
      unpacked,
      layers: unpacked ? this.#layers.stack(chainIds).map(toBytes) : [],
      ...configuration,
    };
  }

  /** The manifest that an entry means here: of an index, this machine's, or else the first that is there. */
  #manifestFor({ digest, mediaType }: Descriptor, depth: number): Digest | undefined {
    if (isManifestType(mediaType)) return digest;
    if (!isIndexType(mediaType) || depth > INDEX_DEPTH || !this.#layout.has(digest)) return undefined;
    const entries = parseIndex(this.#layout.readDocument(digest), `index ${digest}`);
    const there = entries.filter((entry) => this.#layout.has(entry.digest));
    const host = hostPlatform();
    const isOurs = (platform: Platform | undefined): boolean =>
      platform !== undefined && platformMatches(host, platform);
    const wanted = there.find(({ platform }) => isOurs(platform)) ?? there[0];
    return wanted === undefined ? undefined : this.#manifestFor(wanted, depth + 1);
  }

  /** Finds an image by name, by id or by the first digits of its id. */
  find(reference: string): Image | undefined {
    return this.#byDigest(reference) ?? this.#byName(reference)?.image ?? this.#byPrefix(reference);
  }

  resolve(reference: string): Image {
    const image = this.find(reference);
    if (image !== undefined) return image;
    throw new Error(
      `image ${JSON.stringify(reference)} is not in the store; "lamina images" lists what is there, "lamina pull" and "lamina load" add more`,
    );
  }

  /** Whether a reference means an entry of the index. */
  has(reference: string): boolean {
    return (this.#byDigest(reference) ?? this.#select(reference) ?? this.#byPrefix(reference)) !== undefined;
  }

  /** What is meant by a reference, for those who change it; also of an image that is damaged. */
  select(reference: string): Selection {
    const named = this.#byDigest(reference) === undefined ? this.#select(reference) : undefined;
    if (named !== undefined) {
      const image = this.#tryOpen(named);
      return { entries: named, image: image && this.complete(image), byId: false };
    }
    const image = this.resolve(reference);
    return { entries: this.entriesOf(image), image: this.complete(image), byId: true };
  }

  /** All entries that are of the image. */
  entriesOf({ id }: Image): CatalogEntry[] {
    return [...this.#byDigestOfEntry().values()].filter((own) => this.#tryOpen(own)?.id === id).flat();
  }

  /** The image with the names of all its manifests; by name alone, one manifest's are known. */
  complete(image: Image): Image {
    return this.list().find(({ id }) => id === image.id) ?? image;
  }

  #byDigest(text: string): Image | undefined {
    const digest = /^[0-9a-f]{64}$/.test(text) ? `sha256:${text}` : text;
    if (!isDigest(digest)) return undefined;
    return (
      this.list().find((image) => image.id === digest || image.manifests.includes(digest)) ??
      this.#tryOpen(this.entries().filter(({ descriptor }) => descriptor.digest === digest))
    );
  }

  // Reads no other image's documents: a container's start comes through here.
  #byName(text: string): { readonly image: Image } | undefined {
    const selected = this.#select(text);
    if (selected === undefined) return undefined;
    const { digest } = selected[0].descriptor;
    const image = this.#open(this.entries().filter(({ descriptor }) => descriptor.digest === digest));
    if (image !== undefined) return { image };
    throw new Error(
      `image ${text} is in the store's index, but ${digest} or its configuration is not in the store; "lamina system check --repair" fetches what can be fetched`,
    );
  }

  /** Entries that have the name, all of one digest. */
  #select(text: string): readonly [CatalogEntry, ...CatalogEntry[]] | undefined {
    // Digits of an id with their algorithm are no name: `sha256:0123abc` would be the tag 0123abc of "sha256".
    if (/^sha256:[0-9a-f]*$/.test(text)) return undefined;
    const entries = this.entries();
    const [first, ...rest] = entries.filter(({ name }) => name === normalName(text));
    if (first !== undefined) return [first, ...rest];
    const reference = parseReference(text);
    if (reference.digest === undefined) return undefined;
    const [pinned, ...others] = entries.filter((entry) => this.#isPinned(entry, reference));
    const isSame = ({ descriptor }: CatalogEntry): boolean => descriptor.digest === pinned?.descriptor.digest;
    return pinned === undefined ? undefined : [pinned, ...others.filter(isSame)];
  }

  #isPinned({ descriptor, name, repoDigests }: CatalogEntry, { digest, ...reference }: Reference): boolean {
    const repository = repositoryOf({ ...reference, digest });
    if (repoDigests.includes(`${repository}@${digest ?? ''}`)) return true;
    // One that was pulled by its digest has no name.
    return descriptor.digest === digest && (name === undefined || name.startsWith(`${repository}:`));
  }

  #byPrefix(text: string): Image | undefined {
    const prefix = text.replace(/^sha256:/, '');
    if (!/^[0-9a-f]{2,63}$/.test(prefix)) return undefined;
    const found = this.list().filter((image) => hexOf(image.id).startsWith(prefix));
    if (found.length <= 1) return found[0];
    throw new Error(`image id ${JSON.stringify(text)} is the beginning of ${found.length} ids; give more digits`);
  }
}

function merge(one: Image, other: Image): Image {
  return {
    ...one,
    manifests: unique([...one.manifests, ...other.manifests]),
    names: unique([...one.names, ...other.names]),
    repoDigests: unique([...one.repoDigests, ...other.repoDigests]),
  };
}

function unique<T>(items: readonly T[]): T[] {
  return [...new Set(items)];
}
