import { type Digest } from './digest.ts';
import { type HistoryEntry, type ImageConfig } from './image.ts';
import {
  asArray,
  asDigest,
  asObject,
  asSize,
  asString,
  checkCase,
  isObject,
  type JsonObject,
  optionalObject,
  optionalString,
  optionalStringMap,
  optionalStrings,
  parseDocument,
} from './json.ts';
import { type Platform } from './platform.ts';

/** How an OCI document names another blob. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform: Platform | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  /** Where else the blob is to be had. */
  readonly urls: readonly string[];
}

export interface Manifest {
  readonly config: Descriptor;
  /** The bottom one first. */
  readonly layers: readonly Descriptor[];
}

/** The parts of an image configuration that the store uses. */
export interface Configuration {
  readonly platform: Platform;
  readonly created: string | undefined;
  readonly author: string;
  readonly config: ImageConfig;
  readonly history: readonly HistoryEntry[];
  readonly diffIds: readonly Digest[];
}

export const MEDIA_TYPE = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
} as const;

const INDEXES: ReadonlySet<string> = new Set([
  MEDIA_TYPE.index,
  'application/vnd.docker.distribution.manifest.list.v2+json',
]);
const MANIFESTS: ReadonlySet<string> = new Set([
  MEDIA_TYPE.manifest,
  'application/vnd.docker.distribution.manifest.v2+json',
]);
const LAYER =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?|docker\.image\.rootfs\.(?:diff|foreign\.diff)\.tar(?:\.gzip|\.zstd)?)$/;

const FOREIGN = /\.layer\.nondistributable\.|\.rootfs\.foreign\./;

export function isIndexType(mediaType: string): boolean {
  return INDEXES.has(mediaType);
}

export function isManifestType(mediaType: string): boolean {
  return MANIFESTS.has(mediaType);
}

export function parseDescriptor(value: unknown, where: string): Descriptor {
  const descriptor = asObject(value, where);
  checkCase(descriptor, ['mediaType', 'digest', 'size', 'platform', 'annotations'], where);
  return {
    mediaType: asString(descriptor['mediaType'], `${where}.mediaType`),
    digest: asDigest(descriptor['digest'], `${where}.digest`),
    size: asSize(descriptor['size'], `${where}.size`),
    platform: parsePlatformMember(descriptor['platform'], `${where}.platform`),
    annotations: optionalStringMap(descriptor['annotations'], `${where}.annotations`),
    urls: optionalStrings(descriptor['urls'], `${where}.urls`),
  };
}

/** Whether registries need not have the blob of a layer: those who made it want it to come from them alone. */
export function isForeign({ mediaType, urls }: Descriptor): boolean {
  return FOREIGN.test(mediaType) && urls.length > 0;
}

function parsePlatformMember(value: unknown, where: string): Platform | undefined {
  if (value === undefined || value === null) return undefined;
  const platform = asObject(value, where);
  return {
    os: asString(platform['os'], `${where}.os`),
    architecture: asString(platform['architecture'], `${where}.architecture`),
    variant: optionalString(platform['variant'], `${where}.variant`),
  };
}

/** Descriptors of an image index, in its order. */
export function parseIndex(bytes: Uint8Array, where: string): readonly Descriptor[] {
  const index = documentOf(bytes, where, isIndexType);
  if (index['layers'] !== undefined || index['config'] !== undefined) throw confusion(where);
  return asArray(index['manifests'], `${where}.manifests`).map((item, at) =>
    parseDescriptor(item, `${where}.manifests[${at}]`),
  );
}

export function parseManifest(bytes: Uint8Array, where: string): Manifest {
  const manifest = documentOf(bytes, where, isManifestType);
  if (manifest['manifests'] !== undefined) throw confusion(where);
  const layers = asArray(manifest['layers'], `${where}.layers`).map((item, at) => {
    const layer = parseDescriptor(item, `${where}.layers[${at}]`);
    if (LAYER.test(layer.mediaType)) return layer;
    throw new Error(`${where}.layers[${at}] is of a type that cannot be unpacked: ${JSON.stringify(layer.mediaType)}`);
  });
  return { config: parseDescriptor(manifest['config'], `${where}.config`), layers };
}

// What two readers may take for two things (CVE-2021-41190) is neither.
function confusion(where: string): Error {
  return new Error(`${where} claims to be an index and a manifest at once`);
}

function documentOf(bytes: Uint8Array, where: string, isExpected: (mediaType: string) => boolean): JsonObject {
  const document = asObject(parseDocument(bytes, where), where);
  checkCase(document, ['schemaVersion', 'mediaType', 'config', 'layers', 'manifests', 'fsLayers', 'blobs'], where);
  if (document['schemaVersion'] !== 2) throw new Error(`${where} is not of schema version 2`);
  const mediaType = optionalString(document['mediaType'], `${where}.mediaType`);
  if (mediaType !== '' && !isExpected(mediaType)) {
    throw new Error(`${where} is of another type than what refers to it says: ${JSON.stringify(mediaType)}`);
  }
  return document;
}

export function parseConfiguration(bytes: Uint8Array, where: string): Configuration {
  const document = asObject(parseDocument(bytes, where), where);
  checkCase(document, ['rootfs', 'config', 'architecture', 'os', 'variant', 'history'], where);
  const rootfs = asObject(document['rootfs'], `${where}.rootfs`);
  if (rootfs['type'] !== 'layers') throw new Error(`${where}.rootfs.type is not "layers"`);
  const created = optionalString(document['created'], `${where}.created`);
  return {
    platform: {
      os: asString(document['os'], `${where}.os`),
      architecture: asString(document['architecture'], `${where}.architecture`),
      variant: optionalString(document['variant'], `${where}.variant`),
    },
    created: created === '' ? undefined : created,
    author: optionalString(document['author'], `${where}.author`),
    config: parseProcess(optionalObject(document['config'], `${where}.config`), `${where}.config`),
    history: parseHistory(document['history'], `${where}.history`),
    diffIds: asArray(rootfs['diff_ids'], `${where}.rootfs.diff_ids`).map((item, at) =>
      asDigest(item, `${where}.rootfs.diff_ids[${at}]`),
    ),
  };
}

function parseProcess(config: JsonObject, where: string): ImageConfig {
  const stopSignal = optionalString(config['StopSignal'], `${where}.StopSignal`);
  for (const [key, member] of Object.entries(config)) checkNul(member, `${where}.${key}`);
  return {
    env: optionalStrings(config['Env'], `${where}.Env`),
    entrypoint: optionalStrings(config['Entrypoint'], `${where}.Entrypoint`),
    cmd: optionalStrings(config['Cmd'], `${where}.Cmd`),
    user: optionalString(config['User'], `${where}.User`),
    workingDir: optionalString(config['WorkingDir'], `${where}.WorkingDir`),
    exposedPorts: Object.keys(optionalObject(config['ExposedPorts'], `${where}.ExposedPorts`)),
    volumes: Object.keys(optionalObject(config['Volumes'], `${where}.Volumes`)),
    labels: optionalStringMap(config['Labels'], `${where}.Labels`),
    stopSignal: stopSignal === '' ? undefined : stopSignal,
  };
}

// The kernel ends a string there: what runs would be another command than the one that is shown.
function checkNul(value: unknown, where: string): void {
  const texts = Array.isArray(value) ? (value as unknown[]) : [value];
  if (texts.some((text) => typeof text === 'string' && text.includes('\0')))
    throw new Error(`${where} has a NUL character`);
}

// History is for people: what is odd in it keeps no image from running.
function parseHistory(value: unknown, where: string): HistoryEntry[] {
  if (value === undefined || value === null) return [];
  return asArray(value, where)
    .filter(isObject)
    .map((entry) => ({
      created: textOr(entry['created'], undefined),
      createdBy: textOr(entry['created_by'], ''),
      author: textOr(entry['author'], ''),
      comment: textOr(entry['comment'], ''),
      emptyLayer: entry['empty_layer'] === true,
    }));
}

function textOr<T>(value: unknown, otherwise: T): string | T {
  return typeof value === 'string' ? value : otherwise;
}
