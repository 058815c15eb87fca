import { type ByteSource } from './compression.ts';
import { type ArchiveContents } from './contents.ts';
import { type Digest } from './digest.ts';
import { DIR_VERSION, readDirTransport } from './dir-transport.ts';
import { DirectoryContents } from './directory-contents.ts';
import { DOCKER_MANIFEST, readDockerArchive } from './docker-archive.ts';
import { ingest, type IngestOptions } from './ingest.ts';
import { type NewImage } from './new-image.ts';
import { OCI_LAYOUT, readOciArchive } from './oci-archive.ts';
import { decompressInProportion } from './proportion.ts';
import { type Scratch } from './scratch.ts';
import { Spool } from './spool.ts';
import { type Store } from './store.ts';

/** An image that came into the store. */
export interface LoadedImage {
  readonly id: Digest;
  /** Full names. */
  readonly names: readonly string[];
}

export interface LoadOptions extends IngestOptions {
  /** A full name for the image, in place of those in the archive. */
  readonly name?: string;
}

/**
 * Loads the images of a docker-archive or OCI archive, plain or compressed.
 *
 * @param archive the archive's bytes, from a file or a pipe.
 */
export function loadArchive(store: Store, archive: ByteSource, options: LoadOptions): Promise<LoadedImage[]> {
  return loadFrom(store, (scratch) => readArchive(scratch, archive, options), options);
}

/** Loads the images of a directory: an OCI image layout, or what containers/image calls `dir:`. */
export function loadDirectory(store: Store, path: string, options: LoadOptions): Promise<LoadedImage[]> {
  return loadFrom(store, (scratch) => readDirectory(scratch, path, options), options);
}

type Reader = (scratch: Scratch) => NewImage[] | Promise<NewImage[]>;

async function loadFrom(store: Store, read: Reader, options: LoadOptions): Promise<LoadedImage[]> {
  const scratch = store.scratch();
  try {
    const images = named(await read(scratch), options.name);
    const ids = await ingest(store, scratch, images, options);
    return ids.map((id, at) => ({ id, names: images[at]?.names ?? [] }));
  } catch (error) {
    // Layers that came before the one that failed are whole, but nobody's.
    scratch.remove();
    store.collect();
    throw error;
  } finally {
    scratch.remove();
  }
}

async function readArchive(scratch: Scratch, archive: ByteSource, options: LoadOptions): Promise<NewImage[]> {
  const spool = new Spool(scratch, options.limits);
  await spool.fill(decompressInProportion(archive, options.limits, 'archive-size'));
  return readImages(spool, options);
}

function readDirectory(scratch: Scratch, path: string, options: LoadOptions): NewImage[] {
  const contents = new DirectoryContents(path, scratch, options.limits);
  try {
    const manifest = contents.find(DIR_VERSION) === undefined ? undefined : contents.find(DOCKER_MANIFEST);
    return manifest === undefined ? readImages(contents, options) : readDirTransport(contents, manifest);
  } finally {
    contents.close();
  }
}

function readImages(contents: ArchiveContents, { platform, limits }: LoadOptions): NewImage[] {
  if (contents.isEmpty) throw new Error('the archive is empty');
  // docker 25 and later write both; its own manifest has the full names.
  const docker = contents.find(DOCKER_MANIFEST);
  if (docker !== undefined) return readDockerArchive(contents, docker, limits);
  if (contents.find(OCI_LAYOUT) !== undefined) return readOciArchive(contents, platform, limits);
  if (contents.find('repositories') !== undefined) {
    throw new Error('the archive was written by a docker older than 1.10, which is not supported');
  }
  const hint = contents.complete ? '' : ', or is truncated';
  throw new Error(
    `the archive is no image: it has neither ${DOCKER_MANIFEST} nor ${OCI_LAYOUT}${hint}; it begins with ${contents.sample()}`,
  );
}

function named(images: readonly NewImage[], name: string | undefined): readonly NewImage[] {
  if (name === undefined) return images;
  if (images.length > 1) throw new Error(`the archive has ${images.length} images; a name can be given to one alone`);
  return images.map((image) => ({ ...image, names: [name] }));
}
