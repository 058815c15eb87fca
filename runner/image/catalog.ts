import { toBytes } from '../../fs/sys/bytes.ts';
import { chainIdsOf, type Digest, hexOf, isDigest } from './digest.ts';
import { type Image } from './image.ts';
import { type LayerDirectory } from './layer-directory.ts';
import { type ImageLayout, type IndexEntry } from './layout.ts';
import { isManifestType, parseConfiguration, parseManifest } from './manifest.ts';
import { familiarName, fullName, parseReference, type Reference, repositoryOf } from './reference.ts';

/** Annotation under which an OCI layout's index keeps a manifest's name. */
export const REF_NAME = 'org.opencontainers.image.ref.name';

/** Reads what images there are. One whose layers were not unpacked by us, or that is damaged, cannot be run and is none. */
export class Catalog {
  readonly #layout: ImageLayout;
  readonly #layers: LayerDirectory;

  constructor(layout: ImageLayout, layers: LayerDirectory) {
    this.#layout = layout;
    this.#layers = layers;
  }

  /** All images, each once, with all names of all manifests that it has. */
  list(): Image[] {
    const images = new Map<Digest, Image>();
    for (const [manifest, names] of this.#namesByManifest()) {
      const image = this.#tryOpen(manifest, names);
      if (image === undefined) continue;
      const known = images.get(image.id);
      images.set(image.id, known === undefined ? image : merge(known, image));
    }
    return [...images.values()];
  }

  #namesByManifest(): Map<Digest, string[]> {
    const namesByManifest = new Map<Digest, string[]>();
    for (const { descriptor } of this.#layout.readIndex()) {
      if (!isManifestType(descriptor.mediaType)) continue;
      const names = namesByManifest.get(descriptor.digest) ?? [];
      namesByManifest.set(descriptor.digest, names);
      const name = descriptor.annotations[REF_NAME];
      if (name !== undefined) names.push(name);
    }
    return namesByManifest;
  }

  #tryOpen(manifest: Digest, names: readonly string[]): Image | undefined {
    try {
      return this.#open(manifest, names);
    } catch {
      // The others are to be seen all the same; asked for by its name, it says what is wrong with it.
      return undefined;
    }
  }

  #open(manifest: Digest, names: readonly string[]): Image | undefined {
    if (!this.#layout.has(manifest)) return undefined;
    const { config: descriptor } = parseManifest(this.#layout.readDocument(manifest), `manifest ${manifest}`);
    if (!this.#layout.has(descriptor.digest)) return undefined;
    const where = `configuration ${descriptor.digest}`;
    const configuration = parseConfiguration(this.#layout.readDocument(descriptor.digest), where);
    const chainIds = chainIdsOf(configuration.diffIds);
    if (!chainIds.every((chainId) => this.#layers.has(chainId))) return undefined;
    const layers = this.#layers.stack(chainIds).map(toBytes);
    return { id: descriptor.digest, manifests: [manifest], names, chainIds, layers, ...configuration };
  }

  /** Finds an image by name, by id or by the first digits of its id. */
  find(reference: string): Image | undefined {
    return this.#byDigest(reference) ?? this.#byName(reference) ?? this.#byPrefix(reference);
  }

  resolve(reference: string): Image {
    const image = this.find(reference);
    if (image !== undefined) return image;
    throw new Error(
      `image ${JSON.stringify(reference)} is not in the store; "lamina images" lists what is there, "lamina pull" and "lamina load" add more`,
    );
  }

  /** The image with the names of all its manifests; by name alone, one manifest's are known. */
  complete(image: Image): Image {
    return this.list().find(({ id }) => id === image.id) ?? image;
  }

  #byDigest(text: string): Image | undefined {
    const digest = /^[0-9a-f]{64}$/.test(text) ? `sha256:${text}` : text;
    if (!isDigest(digest)) return undefined;
    return this.list().find((image) => image.id === digest || image.manifests.includes(digest));
  }

  // Reads no other image's documents: a container's start comes through here.
  #byName(text: string): Image | undefined {
    // Digits of an id with their algorithm are no name: `sha256:0123abc` would be the tag 0123abc of "sha256".
    if (/^sha256:[0-9a-f]*$/.test(text)) return undefined;
    const reference = parseReference(text);
    const entries = this.#layout.readIndex();
    const entry = entries.find((candidate) => isNamed(candidate, reference));
    if (entry === undefined) return undefined;
    const { digest } = entry.descriptor;
    const own = entries.filter(({ descriptor }) => descriptor.digest === digest);
    const image = this.#open(
      digest,
      own.flatMap(({ descriptor }) => descriptor.annotations[REF_NAME] ?? []),
    );
    if (image !== undefined) return image;
    const name = familiarName(fullName(reference));
    throw new Error(`image ${name} is in the store without its unpacked layers; load it again`);
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
  return { ...one, manifests: [...one.manifests, ...other.manifests], names: [...one.names, ...other.names] };
}

function isNamed({ descriptor }: IndexEntry, reference: Reference): boolean {
  const name = descriptor.annotations[REF_NAME];
  if (!isManifestType(descriptor.mediaType)) return false;
  if (reference.digest === undefined) return name === fullName(reference);
  // One that was pulled by its digest has no name.
  const isOfRepository = name === undefined || name.startsWith(`${repositoryOf(reference)}:`);
  return descriptor.digest === reference.digest && isOfRepository;
}
