import { changeConfig } from './config-change.ts';
import { type Digest, digestOf } from './digest.ts';
import { type Image } from './image.ts';
import { asArray, asObject, type JsonObject, optionalObject, parseJson } from './json.ts';
import { type CapturedLayer } from './layer-capture.ts';
import { type ImageLayout } from './layout.ts';
import { MEDIA_TYPE, parseManifest } from './manifest.ts';
import { type NewImage } from './new-image.ts';
import { type Packing } from './compress.ts';

/** Whose manifest an image is to have. */
export type ManifestFormat = 'oci' | 'docker';

/** What distinguishes an image from the one that it is made of, beside its new layer. */
export interface Growth {
  /** Full names. */
  readonly names: readonly string[];
  readonly title: string;
  readonly format: ManifestFormat;
  readonly packing: Packing | undefined;
  /** RFC 3339. */
  readonly created: string;
  readonly createdBy: string;
  readonly author: string;
  readonly comment: string;
  /** Members of `config` that are other than the parent's. */
  readonly config: JsonObject;
  /** As `commit --change`. */
  readonly changes: readonly string[];
}

const DOCKER = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar',
} as const;
const OCI_LAYER = MEDIA_TYPE.layer;

/** A new image: the layers of another, as they are, one more on top, and a line more of history. */
export function growImage(layout: ImageLayout, parent: Image, layer: CapturedLayer, growth: Growth): NewImage {
  const config = Buffer.from(JSON.stringify(grownConfig(layout, parent, layer.diffId, growth)));
  const [manifestDigest] = parent.manifests;
  if (manifestDigest === undefined) throw new Error(`image ${parent.id} has no manifest`);
  const where = `manifest ${manifestDigest}`;
  const document = layout.readDocument(manifestDigest);
  const parents = parseManifest(document, where).layers;
  const raw = asArray(asObject(parseJson(document, where), where)['layers'], where);
  const mediaType = layerType(growth.format, growth.packing ?? '');
  const { digest, size } = layer.blob;
  const manifest = {
    schemaVersion: 2,
    mediaType: growth.format === 'oci' ? MEDIA_TYPE.manifest : DOCKER.manifest,
    config: {
      mediaType: growth.format === 'oci' ? MEDIA_TYPE.config : DOCKER.config,
      digest: digestOf(config),
      size: config.length,
    },
    layers: [...raw.map((item) => inFormat(asObject(item, where), growth.format)), { mediaType, digest, size }],
  };
  const files = parents.map((descriptor) => ({
    file: { path: layout.path(descriptor.digest), size: descriptor.size, digest: descriptor.digest },
    mediaType: descriptor.mediaType,
  }));
  return {
    names: growth.names,
    title: growth.title,
    config,
    manifest: { bytes: Buffer.from(JSON.stringify(manifest)), mediaType: manifest.mediaType },
    layers: [...files, { file: layer.blob, mediaType }],
  };
}

// What an older docker says of the container that it made the image of, and of its parent.
const OF_PARENT: ReadonlySet<string> = new Set([
  'id',
  'parent',
  'parent_id',
  'container',
  'container_config',
  'comment',
]);

function grownConfig(layout: ImageLayout, parent: Image, diffId: Digest, growth: Growth): JsonObject {
  const where = `configuration ${parent.id}`;
  const document = asObject(parseJson(layout.readDocument(parent.id), where), where);
  const kept = Object.fromEntries(Object.entries(document).filter(([key]) => !OF_PARENT.has(key)));
  const config = { ...optionalObject(document['config'], `${where}.config`), ...growth.config };
  const { created, createdBy, author, comment } = growth;
  const entry = {
    created,
    created_by: createdBy,
    ...(author === '' ? {} : { author }),
    ...(comment === '' ? {} : { comment }),
  };
  const { history } = document;
  return {
    ...kept,
    created,
    ...(author === '' ? {} : { author }),
    ...(comment === '' || growth.format === 'oci' ? {} : { comment }),
    config: withoutEmpty(changeConfig(config, growth.changes)),
    rootfs: { type: 'layers', diff_ids: [...parent.diffIds, diffId] },
    history: [...(Array.isArray(history) ? (history as unknown[]) : []), entry],
  };
}

/** What is null, as an entrypoint that was taken away, need not be said. */
function withoutEmpty(config: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null && value !== undefined));
}

/** @param packing what stands behind the plus or the dot; empty for a plain archive. */
function layerType(format: ManifestFormat, packing: string): string {
  if (format === 'oci') return packing === '' ? OCI_LAYER : `${OCI_LAYER}+${packing}`;
  if (packing === 'zstd') throw new Error("docker's format knows no zstd: --format oci, or --compression gzip");
  return packing === '' ? DOCKER.layer : `${DOCKER.layer}.${packing}`;
}

/** A parent's layer: the same blob, named in the words of the new manifest. */
function inFormat(descriptor: JsonObject, format: ManifestFormat): JsonObject {
  const { mediaType } = descriptor;
  const packing = /[+.](gzip|zstd)$/.exec(String(mediaType))?.[1] ?? '';
  const isOther = /^application\/vnd\.(?:oci\.image\.layer\.v1\.tar|docker\.image\.rootfs\.diff\.tar)/.test(
    String(mediaType),
  );
  return isOther ? { ...descriptor, mediaType: layerType(format, packing) } : descriptor;
}
