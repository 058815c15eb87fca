import { closeSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';

import { detectCompression, MAGIC_LENGTH } from './compression.ts';
import { type ArchiveContents } from './contents.ts';
import { isDigest } from './digest.ts';
import { asArray, asObject, asString, optionalStrings, parseDocument } from './json.ts';
import { type Limits, overLimit } from './limits.ts';
import { MEDIA_TYPE } from './manifest.ts';
import { type NewImage, type NewLayer } from './new-image.ts';
import { fullName, parseReference } from './reference.ts';
import { type SpooledFile } from './spool.ts';

/** The file that makes an archive one of `docker save`. */
export const DOCKER_MANIFEST = 'manifest.json';

/** Images of an archive as `docker save`, podman and skopeo write it. */
export function readDockerArchive(spool: ArchiveContents, manifest: SpooledFile, limits: Limits): NewImage[] {
  const images = asArray(parseDocument(spool.readDocument(manifest), DOCKER_MANIFEST), DOCKER_MANIFEST);
  if (images.length > limits.manifests)
    throw overLimit(`${DOCKER_MANIFEST} with ${images.length} images`, limits, 'manifests');
  return images.map((item, at) => readImage(spool, item, `${DOCKER_MANIFEST}[${at}]`));
}

function readImage(spool: ArchiveContents, item: unknown, where: string): NewImage {
  const image = asObject(item, where);
  const configName = asString(image['Config'], `${where}.Config`);
  const config = spool.require(configName, 'configuration');
  checkConfigName(configName, config);
  const names = optionalStrings(image['RepoTags'], `${where}.RepoTags`).map((name) => fullName(parseReference(name)));
  const layers = optionalStrings(image['Layers'], `${where}.Layers`).map((name) =>
    toLayer(spool.require(name, 'layer')),
  );
  return { names, title: names[0] ?? configName, config: spool.readDocument(config), manifest: undefined, layers };
}

// The configuration is named by its digest, which nothing else in such an archive vouches for.
function checkConfigName(name: string, { digest }: SpooledFile): void {
  const named = `sha256:${basename(name, '.json')}`;
  if (isDigest(named) && named !== digest) {
    throw new Error(`configuration ${JSON.stringify(name)} has another content: its digest is ${digest}`);
  }
}

const SUFFIX = { none: '', gzip: '+gzip', zstd: '+zstd', xz: undefined, bzip2: undefined } as const;

/** A layer of which nothing says how it is packed but its first bytes. */
export function toLayer(file: SpooledFile): NewLayer {
  const compression = detectCompression(readHead(file.path));
  const suffix = SUFFIX[compression];
  if (suffix === undefined)
    throw new Error(`layer ${file.digest} is compressed with ${compression}, as no layer may be`);
  return { file, mediaType: MEDIA_TYPE.layer + suffix };
}

function readHead(path: string): Buffer {
  const head = Buffer.alloc(MAGIC_LENGTH);
  const fd = openSync(path, 'r');
  try {
    return head.subarray(0, readSync(fd, head, 0, MAGIC_LENGTH, 0));
  } finally {
    closeSync(fd);
  }
}
