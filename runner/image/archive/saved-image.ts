import { type Digest } from '../digest.ts';
import { type Image } from '../image.ts';
import { type ImageLayout } from '../layout.ts';
import { type Descriptor, type Manifest, parseManifest } from '../manifest.ts';
import { fullName, parseReference } from '../reference.ts';
import { type Store } from '../store.ts';

/** An image that is to be written elsewhere, with the names that it is to have there. */
export interface SavedImage {
  readonly image: Image;
  /** Full names: those by which it was asked for. One that was asked for by its id has none. */
  readonly names: readonly string[];
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
}

/** Finds what is to be saved; an image that is named several times comes once, with all these names. */
export function findSavedImages(store: Store, references: readonly string[]): SavedImage[] {
  const found = new Map<Digest, SavedImage>();
  for (const reference of references) {
    const image = store.resolve(reference);
    const descriptor = descriptorOf(store.layout, image);
    const names = new Set([...(found.get(descriptor.digest)?.names ?? []), ...namesOf(image, reference)]);
    const manifest = parseManifest(store.layout.readDocument(descriptor.digest), `manifest ${descriptor.digest}`);
    found.set(descriptor.digest, { image, names: [...names], descriptor, manifest });
  }
  return [...found.values()];
}

/** The name in the reference, where it is one of the image's: digits of an id can be read as a name, too. */
function namesOf(image: Image, reference: string): string[] {
  try {
    const name = fullName(parseReference(reference));
    return image.names.includes(name) ? [name] : [];
  } catch {
    return [];
  }
}

function descriptorOf(layout: ImageLayout, { id, manifests: [digest] }: Image): Descriptor {
  const entry = layout.readIndex().find(({ descriptor }) => descriptor.digest === digest);
  if (entry === undefined) throw new Error(`image ${id} was removed meanwhile`);
  return entry.descriptor;
}
