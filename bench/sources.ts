import { randomBytes } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandOptions, run } from './command.ts';
import { givenLayers, machineLayers, splitRoot } from './layers.ts';

/** Where the image's layers come from: made from this machine, from a root filesystem, or given as they are. */
export type ImageSource =
  | { readonly kind: 'machine' }
  | { readonly kind: 'root'; readonly directory: string }
  | { readonly kind: 'layers'; readonly directory: string };

/** Throws where there is no image to be had, before anything is measured. */
export async function checkImage(image: ImageSource): Promise<void> {
  if (image.kind === 'machine') return;
  try {
    await readdir(image.directory);
  } catch (error) {
    throw new Error(`--${image.kind}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  if (image.kind === 'layers') await givenLayers(image.directory);
}

/** How many files the archive holds. */
export const ARCHIVE_FILES = 5_000;
/** How many files the layer of small files holds. */
export const SMALL_FILES = 2_000;
/** Size of the large file, MiB. */
export const LARGE_MEBIBYTES = 256;

const FILES_PER_DIRECTORY = 100;
const FILES_PER_LAYER = 20;
const MEBIBYTE = 1 << 20;

async function writeSmallFiles(directory: string, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const parent = join(directory, String(Math.floor(index / FILES_PER_DIRECTORY)));
    if (index % FILES_PER_DIRECTORY === 0) await mkdir(parent, { recursive: true });
    // 512 bytes to 4 KiB: what most files of an image are.
    await writeFile(join(parent, `file-${index}`), randomBytes(512 * (1 + (index % 8))));
  }
}

/** What workloads read; each is made below `directory` when it is first asked for. */
export class Sources {
  readonly #directory: string;
  readonly #image: ImageSource;
  readonly #options: CommandOptions;
  readonly #made = new Map<string, Promise<unknown>>();

  constructor(directory: string, image: ImageSource, options: CommandOptions = {}) {
    this.#directory = directory;
    this.#image = image;
    this.#options = options;
  }

  #once<T>(name: string, make: (path: string) => Promise<T>): Promise<T> {
    const known = this.#made.get(name) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const made = make(join(this.#directory, name));
    this.#made.set(name, made);
    return made;
  }

  /** The image's layers, the topmost first. */
  image(): Promise<readonly string[]> {
    const source = this.#image;
    return this.#once('image', (path) => {
      if (source.kind === 'layers') return givenLayers(source.directory);
      return source.kind === 'root'
        ? splitRoot(source.directory, path, this.#options)
        : machineLayers(path, this.#options);
    });
  }

  /** Layers that all have files of their own in the directory `searched`. */
  searchLayers(count: number): Promise<readonly string[]> {
    return this.#once(`search-${count}`, async (path) => {
      const layers = Array.from({ length: count }, (_, index) => join(path, String(index)));
      for (const [index, layer] of layers.entries()) {
        await mkdir(join(layer, 'searched'), { recursive: true });
        const names = Array.from({ length: FILES_PER_LAYER }, (_, file) => `file-${index}-${file}`);
        for (const name of names) await writeFile(join(layer, 'searched', name), name);
      }
      return layers;
    });
  }

  /** A layer with `SMALL_FILES` files in the directory `small`. */
  smallFiles(): Promise<string> {
    return this.#once('small', async (path) => {
      await writeSmallFiles(join(path, 'small'), SMALL_FILES);
      return path;
    });
  }

  /** A layer with one file, `large`, of `LARGE_MEBIBYTES` of random data. */
  largeFile(): Promise<string> {
    return this.#once('large', async (path) => {
      await mkdir(path, { recursive: true });
      await run(['sh', '-c', 'head -c "$1" /dev/urandom >"$0"', join(path, 'large'), `${LARGE_MEBIBYTES * MEBIBYTE}`]);
      return path;
    });
  }

  /** An archive of `ARCHIVE_FILES` files in the directory `tree`. */
  archive(): Promise<string> {
    return this.#once('archive', async (path) => {
      await writeSmallFiles(join(path, 'tree'), ARCHIVE_FILES);
      const archive = `${path}.tar`;
      await run(['tar', '-C', path, '-cf', archive, 'tree']);
      await run(['rm', '-rf', path]);
      return archive;
    });
  }
}
