import { type Digest } from '../digest.ts';
import { type Image } from '../image.ts';
import { type ImageLayout } from '../layout.ts';
import { asObject, optionalString, parseJson } from '../json.ts';
import { type Descriptor, type Manifest, MEDIA_TYPE, parseManifest } from '../manifest.ts';
import { fullName, parseReference } from '../reference.ts';
import { type Store } from '../store.ts';

/** An image that is to be written elsewhere, with the names that it is to have there. */
export interface SavedImage {
  readonly image: Image;
  /** Full names: those by which it was asked for. One that was asked for by its id has none. */
  readonly names: readonly string[];
  readonly descriptor: Pick<Descriptor, 'mediaType' | 'digest' | 'size'>;
  readonly manifest: Manifest;
}

/** Finds what is to be saved; an image that is named several times comes once, with all these names. */
export function findSavedImages(store: Store, references: readonly string[]): SavedImage[] {
  const found = new Map<Digest, SavedImage>();
  for (const reference of references) {
    const image = store.resolve(reference);
    const saved = readImage(store.layout, image);
    const { digest } = saved.descriptor;
    const names = new Set([...(found.get(digest)?.names ?? []), ...namesOf(image, reference)]);
    found.set(digest, { ...saved, names: [...names] });
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

function readImage(layout: ImageLayout, image: Image): SavedImage {
  const [digest] = image.manifests;
  if (digest === undefined) throw new Error(`image ${image.id} has no manifest`);
  const bytes = layout.readDocument(digest);
  const where = `manifest ${digest}`;
  const mediaType = optionalString(asObject(parseJson(bytes, where), where)['mediaType'], where);
  const descriptor = { mediaType: mediaType || MEDIA_TYPE.manifest, digest, size: bytes.length };
  return { image, names: [], descriptor, manifest: parseManifest(bytes, where) };
}
