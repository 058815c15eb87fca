import { closeSync, createReadStream, existsSync, openSync, readSync } from 'node:fs';

import { type BlobName } from './blob-sources.ts';
import { detectCompression, MAGIC_LENGTH } from './compression.ts';
import { compress, type Packing } from './compress.ts';
import { digestOf } from './digest.ts';
import { asArray, asObject, type JsonObject, parseJson } from './json.ts';
import { type Descriptor, isForeign, type Manifest, MEDIA_TYPE, parseManifest } from './manifest.ts';
import { type Registry, type RemoteDocument } from './registry/registry.ts';
import { type Scratch } from './scratch.ts';
import { spoolFile } from './spool.ts';
import { type Store } from './store.ts';

/** A blob to be sent, and where it is. */
export interface OutgoingBlob {
  readonly descriptor: Descriptor;
  readonly path: string;
}

/** A manifest and all that it refers to, the layers first. */
interface Outgoing {
  readonly document: RemoteDocument;
  readonly blobs: readonly OutgoingBlob[];
}

const DOCKER_GZIP = 'application/vnd.docker.image.rootfs.diff.tar.gzip';

/** Makes of an image in the store what is to be sent. */
export class LayerPacker {
  readonly #store: Store;
  readonly #scratch: Scratch;
  readonly #registry: Registry;
  readonly #packing: Packing | undefined;

  constructor(store: Store, scratch: Scratch, registry: Registry, packing: Packing | undefined) {
    this.#store = store;
    this.#scratch = scratch;
    this.#registry = registry;
    this.#packing = packing;
  }

  /** Without packing, and where no layer is plain, the document stays as it is, byte for byte. */
  async pack(document: RemoteDocument): Promise<Outgoing> {
    const manifest = parseManifest(document.bytes, `manifest ${document.digest}`);
    const layers: OutgoingBlob[] = [];
    for (const layer of manifest.layers) layers.push(await this.#packLayer(layer, document.mediaType));
    const config = this.#asItIs(manifest.config);
    const isChanged = layers.some(({ descriptor }, at) => descriptor !== manifest.layers[at]);
    return { document: isChanged ? rewritten(document, manifest, layers) : document, blobs: [...layers, config] };
  }

  #asItIs(descriptor: Descriptor): OutgoingBlob {
    return { descriptor, path: this.#store.layout.path(descriptor.digest) };
  }

  async #packLayer(layer: Descriptor, manifestType: string): Promise<OutgoingBlob> {
    const plain = this.#asItIs(layer);
    const packing = this.#packing;
    if (packing === undefined || isForeign(layer) || !isPlain(plain.path)) return plain;
    const mediaType = packedType(manifestType, packing);
    const known = this.#store.sources.packed(layer.digest, packing);
    if (known !== undefined && (await this.#registry.has(known.digest))) return described(layer, mediaType, known, '');
    const file = await spoolFile(
      this.#scratch.next(),
      compress(createReadStream(plain.path, { highWaterMark: 1 << 18 }), packing),
    );
    this.#store.sources.setPacked(layer.digest, packing, { digest: file.digest, size: file.size }, this.#scratch);
    return described(layer, mediaType, file, file.path);
  }
}

function described(layer: Descriptor, mediaType: string, { digest, size }: BlobName, path: string): OutgoingBlob {
  return { descriptor: { ...layer, mediaType, digest, size }, path };
}

/** A blob that is not there is not to be packed, either: the registry may have it. */
function isPlain(path: string): boolean {
  if (!existsSync(path)) return false;
  const head = Buffer.alloc(MAGIC_LENGTH);
  const fd = openSync(path, 'r');
  try {
    return detectCompression(head.subarray(0, readSync(fd, head, 0, MAGIC_LENGTH, 0))) === 'none';
  } finally {
    closeSync(fd);
  }
}

function packedType(manifestType: string, packing: Packing): string {
  if (manifestType === MEDIA_TYPE.manifest) return `${MEDIA_TYPE.layer}+${packing}`;
  if (packing === 'gzip') return DOCKER_GZIP;
  throw new Error("its manifest is docker's, which knows no zstd: --compress gzip");
}

/** The manifest with other layers; all that it has besides stays. */
function rewritten(document: RemoteDocument, manifest: Manifest, layers: readonly OutgoingBlob[]): RemoteDocument {
  const where = `manifest ${document.digest}`;
  const object = asObject(parseJson(document.bytes, where), where);
  const changed = asArray(object['layers'], where).map((item, at) => {
    const descriptor = layers[at]?.descriptor;
    const before = asObject(item, where);
    return descriptor === undefined || descriptor === manifest.layers[at] ? before : replaced(before, descriptor);
  });
  const bytes = Buffer.from(JSON.stringify({ ...object, layers: changed }));
  return { bytes, mediaType: document.mediaType, digest: digestOf(bytes) };
}

function replaced(before: JsonObject, { mediaType, digest, size }: Descriptor): JsonObject {
  return { ...before, mediaType, digest, size };
}
