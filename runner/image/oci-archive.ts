import { type ArchiveContents } from './contents.ts';
import { hexOf } from './digest.ts';
import { REF_NAME } from './entry-names.ts';
import { asObject, parseJson } from './json.ts';
import { type Limits, overLimit } from './limits.ts';
import {
  type Descriptor,
  isIndexType,
  isManifestType,
  parseConfiguration,
  parseIndex,
  parseManifest,
} from './manifest.ts';
import { checkFile, type NewImage } from './new-image.ts';
import { describePlatform, type Platform, platformMatches } from './platform.ts';
import { fullName, parseReference } from './reference.ts';
import { type SpooledFile } from './spool.ts';

/** The file that makes an archive an OCI image layout. */
export const OCI_LAYOUT = 'oci-layout';

/** Indexes within indexes: one for the platforms is usual, one around it is seen. */
const INDEX_DEPTH = 4;

/** containerd writes full names here, where `ref.name` is but a tag. */
const CONTAINERD_NAME = 'io.containerd.image.name';
/** buildkit's records of how an image was built lie among the manifests and are no images. */
const ATTESTATION = 'vnd.docker.reference.type';

interface Candidate {
  readonly descriptor: Descriptor;
  readonly names: readonly string[];
  readonly platform: Platform;
}

/** Images of an OCI archive that are for `platform`. */
export function readOciArchive(spool: ArchiveContents, platform: Platform, limits: Limits): NewImage[] {
  checkLayoutVersion(spool);
  const index = spool.require('index.json', 'index');
  const candidates = new CandidateReader(spool, limits).read(parseIndex(spool.readDocument(index), 'index.json'));
  const matching = candidates.filter((candidate) => platformMatches(platform, candidate.platform));
  if (matching.length > 0) return matching.map((candidate) => readImage(spool, candidate));
  if (candidates.length === 0) throw new Error('the archive has no image in it');
  throw platformError(
    candidates[0]?.names[0],
    candidates.map((candidate) => candidate.platform),
    platform,
  );
}

/** An image for another machine: says for which, and for which it was looked for. */
export function platformError(title: string | undefined, offered: readonly Platform[], wanted: Platform): Error {
  const platforms = [...new Set(offered.map(describePlatform))];
  const image = title === undefined ? 'the image' : `image ${title}`;
  return new Error(
    `${image} is for ${platforms.join(', ')}, not for ${describePlatform(wanted)}; --platform ${platforms[0] ?? ''} loads it all the same`,
  );
}

function checkLayoutVersion(spool: ArchiveContents): void {
  const bytes = spool.readDocument(spool.require(OCI_LAYOUT, 'layout file'));
  const version = asObject(parseJson(bytes, OCI_LAYOUT), OCI_LAYOUT)['imageLayoutVersion'];
  if (typeof version !== 'string' || !version.startsWith('1.')) {
    throw new Error(`${OCI_LAYOUT} is of version ${JSON.stringify(version)}, where 1.0.0 is known`);
  }
}

function requireBlob(spool: ArchiveContents, descriptor: Descriptor, what: string): SpooledFile {
  const file = spool.require(`blobs/sha256/${hexOf(descriptor.digest)}`, what);
  checkFile(file, descriptor.digest, descriptor.size, what);
  return file;
}

class CandidateReader {
  readonly #spool: ArchiveContents;
  readonly #limits: Limits;
  readonly #candidates: Candidate[] = [];
  /** Entries of indexes: a few small ones that name each other a thousand times have more than can ever be read. */
  #entries = 0;

  constructor(spool: ArchiveContents, limits: Limits) {
    this.#spool = spool;
    this.#limits = limits;
  }

  read(index: readonly Descriptor[]): Candidate[] {
    this.#readIndex(index, [], 0);
    return this.#candidates;
  }

  #readIndex(index: readonly Descriptor[], names: readonly string[], depth: number): void {
    this.#entries += index.length;
    if (this.#entries > this.#limits.manifests)
      throw overLimit("the number of entries of the archive's indexes", this.#limits, 'manifests');
    for (const descriptor of index) {
      if (descriptor.annotations[ATTESTATION] !== undefined) continue;
      const own = namesOf(descriptor);
      this.#readDescriptor(descriptor, own.length > 0 ? own : names, depth);
    }
  }

  #readDescriptor(descriptor: Descriptor, names: readonly string[], depth: number): void {
    if (isManifestType(descriptor.mediaType)) {
      this.#addManifest(descriptor, names);
    } else if (isIndexType(descriptor.mediaType)) {
      // By digest no index can hold itself; a chain of them can still be as long as its maker likes.
      if (depth === INDEX_DEPTH) throw new Error(`indexes lie within indexes more than ${INDEX_DEPTH} deep`);
      const bytes = this.#spool.readDocument(requireBlob(this.#spool, descriptor, 'index'));
      this.#readIndex(parseIndex(bytes, `index ${descriptor.digest}`), names, depth + 1);
    }
    // Signatures and other artifacts are no images.
  }

  #addManifest(descriptor: Descriptor, names: readonly string[]): void {
    // An archive of some platforms of an image may have an index of all: what is not there is not offered.
    if (descriptor.platform !== undefined && !this.#has(descriptor)) return;
    this.#candidates.push({ descriptor, names, platform: descriptor.platform ?? this.#configuredPlatform(descriptor) });
  }

  #has({ digest }: Descriptor): boolean {
    return this.#spool.find(`blobs/sha256/${hexOf(digest)}`) !== undefined;
  }

  #configuredPlatform(descriptor: Descriptor): Platform {
    const bytes = this.#spool.readDocument(requireBlob(this.#spool, descriptor, 'manifest'));
    const { config } = parseManifest(bytes, `manifest ${descriptor.digest}`);
    const configuration = this.#spool.readDocument(requireBlob(this.#spool, config, 'configuration'));
    return parseConfiguration(configuration, `configuration ${config.digest}`).platform;
  }
}

function namesOf({ annotations }: Descriptor): string[] {
  const name = annotations[CONTAINERD_NAME] ?? annotations[REF_NAME];
  return name === undefined ? [] : [fullName(parseReference(name))];
}

function readImage(spool: ArchiveContents, { descriptor, names }: Candidate): NewImage {
  const bytes = spool.readDocument(requireBlob(spool, descriptor, 'manifest'));
  const manifest = parseManifest(bytes, `manifest ${descriptor.digest}`);
  return {
    names,
    title: names[0] ?? descriptor.digest,
    config: spool.readDocument(requireBlob(spool, manifest.config, 'configuration')),
    manifest: { bytes, mediaType: descriptor.mediaType },
    layers: manifest.layers.map((layer) => ({
      file: requireBlob(spool, layer, 'layer'),
      mediaType: layer.mediaType,
    })),
  };
}
