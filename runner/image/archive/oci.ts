import { REF_NAME } from '../entry-names.ts';
import { type Digest, digestOf, hexOf } from '../digest.ts';
import { asArray, asObject, type JsonObject, optionalObject, parseJson } from '../json.ts';
import { type Descriptor, MEDIA_TYPE } from '../manifest.ts';
import { type Store } from '../store.ts';
import { type ArchiveFile, type ArchiveFiles, documentFile, readBlob, verified } from './files.ts';
import { type PlainLayer, PlainLayers } from './plain-layers.ts';
import { type SavedImage } from './saved-image.ts';

/** A manifest as it is written, with the layers that it names. */
interface WrittenManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly config: Digest;
  readonly layers: readonly (PlainLayer | Descriptor)[];
}

/**
 * The files of an OCI image layout: manifests, configurations and layers byte for byte as the store has them.
 *
 * @param uncompressed write layers as plain tar archives, and manifests that name these.
 */
export async function* ociFiles(store: Store, images: readonly SavedImage[], uncompressed: boolean): ArchiveFiles {
  const plain = new PlainLayers(store);
  const written: WrittenManifest[] = [];
  for (const image of images) {
    written.push(uncompressed ? await unpackedManifest(store, image, plain) : keptManifest(store, image));
  }
  yield documentFile('oci-layout', { imageLayoutVersion: '1.0.0' });
  yield documentFile('index.json', {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.index,
    manifests: images.flatMap((image, at) => indexEntries(image, written[at])),
  });
  const done = new Set<Digest>();
  for (const { bytes, config, layers } of written) {
    yield* once(done, digestOf(bytes), () => blobFile(digestOf(bytes), bytes));
    yield* once(done, config, () => blobFile(config, store.layout.readDocument(config)));
    for (const layer of layers) yield* once(done, layer.digest, () => layerFile(store, layer, plain));
  }
}

function* once(done: Set<Digest>, digest: Digest, file: () => ArchiveFile): Generator<ArchiveFile> {
  if (done.has(digest)) return;
  done.add(digest);
  yield file();
}

function blobFile(digest: Digest, bytes: Buffer): ArchiveFile {
  return documentFile(`blobs/sha256/${hexOf(digest)}`, bytes);
}

function layerFile(store: Store, layer: PlainLayer | Descriptor, plain: PlainLayers): ArchiveFile {
  const { digest, size } = layer;
  const name = `blobs/sha256/${hexOf(digest)}`;
  if ('blob' in layer) return { name, size, content: plain.read(layer) };
  return { name, size, content: verified(readBlob(store.layout, digest), digest, size, `layer ${digest}`) };
}

function keptManifest(store: Store, { descriptor, manifest }: SavedImage): WrittenManifest {
  const bytes = store.layout.readDocument(descriptor.digest);
  return { bytes, mediaType: descriptor.mediaType, config: manifest.config.digest, layers: manifest.layers };
}

async function unpackedManifest(store: Store, saved: SavedImage, plain: PlainLayers): Promise<WrittenManifest> {
  const { descriptor, manifest } = saved;
  const where = `manifest ${descriptor.digest}`;
  const document = asObject(parseJson(store.layout.readDocument(descriptor.digest), where), where);
  const layers = await plain.of(saved);
  const described = asArray(document['layers'], `${where}.layers`).map((item, at): JsonObject => {
    const before = asObject(item, `${where}.layers[${at}]`);
    const { annotations, ...rest } = before;
    const kept = lastingAnnotations(annotations, `${where}.layers[${at}].annotations`);
    const mediaType = plainType(before['mediaType']);
    return { ...rest, ...kept, mediaType, digest: layers[at]?.digest, size: layers[at]?.size };
  });
  return {
    bytes: Buffer.from(JSON.stringify({ ...document, layers: described })),
    mediaType: descriptor.mediaType,
    config: manifest.config.digest,
    layers,
  };
}

/** Those of zstd:chunked and eStargz say where in the compressed layer which file lies. */
const OF_COMPRESSION = /zstd-chunked|stargz/;

function lastingAnnotations(value: unknown, where: string): JsonObject {
  const annotations = Object.entries(optionalObject(value, where)).filter(([key]) => !OF_COMPRESSION.test(key));
  return annotations.length === 0 ? {} : { annotations: Object.fromEntries(annotations) };
}

function plainType(mediaType: unknown): string {
  return String(mediaType).replace(/[+.](?:gzip|zstd)$/, '');
}

function indexEntries({ descriptor, image, names }: SavedImage, manifest: WrittenManifest | undefined): JsonObject[] {
  if (manifest === undefined) return [];
  const { os, architecture, variant } = image.platform;
  const entry = {
    mediaType: descriptor.mediaType,
    digest: digestOf(manifest.bytes),
    size: manifest.bytes.length,
    platform: { os, architecture, ...(variant === '' ? {} : { variant }) },
  };
  if (names.length === 0) return [entry];
  return names.map((name) => ({ ...entry, annotations: { [REF_NAME]: name } }));
}
