import { randomBytes } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandOptions, run } from './command.ts';
import { givenLayers, IMAGE_LAYERS, machineLayers, splitRoot } from './layers.ts';
import { DEFAULT_SIZES, type Sizes } from './sizes.ts';

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

const FILES_PER_DIRECTORY = 100;
const MEBIBYTE = 1 << 20;

/** Writes files of 512 bytes to 4 KiB, which most files of an image are, into subdirectories. */
export async function writeSmallFiles(directory: string, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const parent = join(directory, String(Math.floor(index / FILES_PER_DIRECTORY)));
    if (index % FILES_PER_DIRECTORY === 0) await mkdir(parent, { recursive: true });
    await writeFile(join(parent, `file-${index}`), randomBytes(512 * (1 + (index % 8))));
  }
}

/** What workloads read; each is made below `directory` when it is first asked for. */
export class Sources {
  readonly sizes: Sizes;
  readonly #directory: string;
  readonly #image: ImageSource;
  readonly #options: CommandOptions;
  readonly #made = new Map<string, Promise<unknown>>();
  /** Directories whose files the kernel has in memory. */
  readonly #warm = new Set<string>();

  constructor(directory: string, image: ImageSource, sizes: Sizes = DEFAULT_SIZES, options: CommandOptions = {}) {
    this.sizes = sizes;
    this.#directory = directory;
    this.#image = image;
    this.#options = options;
  }

  /** What `make` gave when it was first called by this name. It makes `path`, where nothing is, in a directory that is there. */
  once<T>(name: string, make: (path: string) => Promise<T>): Promise<T> {
    const known = this.#made.get(name) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const made = mkdir(this.#directory, { recursive: true }).then(() => make(join(this.#directory, name)));
    this.#made.set(name, made);
    return made;
  }

  /**
   * Reads all that is in the directories, unless that was done since caches were dropped: who is measured first would else
   * read from the disk what others find in memory.
   */
  async warm(directories: readonly string[]): Promise<void> {
    const cold = directories.filter((directory) => !this.#warm.has(directory));
    if (cold.length === 0) return;
    await run(
      ['find', ...cold, '-xdev', '-type', 'f', '-size', '+0', '-readable', '-exec', 'cat', '{}', '+'],
      this.#options,
    );
    for (const directory of cold) this.#warm.add(directory);
  }

  /** Caches were dropped. */
  cool(): void {
    this.#warm.clear();
  }

  /** The image's layers, the topmost first. */
  image(): Promise<readonly string[]> {
    const source = this.#image;
    return source.kind === 'layers'
      ? this.once('image', () => givenLayers(source.directory))
      : this.imageIn(IMAGE_LAYERS);
  }

  /** Whether the image can be had in any number of layers: given ones stay as they are. */
  get canSplit(): boolean {
    return this.#image.kind !== 'layers';
  }

  /** The image in so many layers, the topmost first. */
  imageIn(count: number): Promise<readonly string[]> {
    const source = this.#image;
    return this.once(`image-${count}`, (path) => {
      if (source.kind === 'layers') throw new Error('given layers cannot be split');
      return source.kind === 'root'
        ? splitRoot(source.directory, path, count, this.#options)
        : machineLayers(path, count, this.#options);
    });
  }

  /** A layer with files in the directory `small`. */
  smallFiles(): Promise<string> {
    return this.once('small', async (path) => {
      await writeSmallFiles(join(path, 'small'), this.sizes.small);
      return path;
    });
  }

  /** A layer with one file, `large`, of so many MiB of random data. */
  largeFile(mebibytes: number): Promise<string> {
    return this.once(`large-${mebibytes}`, async (path) => {
      await mkdir(path, { recursive: true });
      const command = 'head -c "$1" /dev/urandom >"$0"';
      await run(['sh', '-c', command, join(path, 'large'), `${mebibytes * MEBIBYTE}`], this.#options);
      return path;
    });
  }

  /** An archive of files in the directory `tree`. */
  archive(): Promise<string> {
    return this.once('archive', async (path) => {
      await writeSmallFiles(join(path, 'tree'), this.sizes.archive);
      const archive = `${path}.tar`;
      await run(['tar', '-C', path, '-cf', archive, 'tree'], this.#options);
      await run(['rm', '-rf', path]);
      return archive;
    });
  }
}
