import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { type Digest } from './digest.ts';
import { writeDurably } from './durable-file.ts';
import { asArray, asDigest, asObject, parseJson } from './json.ts';
import { type Scratch } from './scratch.ts';
import { removeFile } from './remove-file.ts';

/** What keeps an image's parts in the store though its names may go: one file for each container. */
export interface Hold {
  readonly holder: string;
  readonly image: Digest;
  readonly chainIds: readonly Digest[];
}

const HOLDER = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

// What a container mounts beside its own image is held under its id with more behind it.
const CONTAINER_ID = /^([0-9a-f]{64})(?:-|$)/;

/** Whether the container that holds an image is there, or is just coming or going. What is no container always is. */
export function hasContainer(root: string, holder: string): boolean {
  const id = CONTAINER_ID.exec(holder)?.[1];
  if (id === undefined) return true;
  const directory = join(root, 'containers');
  return existsSync(directory) && readdirSync(directory).some((name) => name.includes(id));
}

export class Holds {
  readonly #directory: string;

  constructor(root: string) {
    this.#directory = join(root, 'holds');
  }

  prepare(): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  #path(holder: string): string {
    if (!HOLDER.test(holder)) throw new Error(`${JSON.stringify(holder)} cannot hold an image: it is not an id`);
    return join(this.#directory, holder);
  }

  add({ holder, image, chainIds }: Hold, scratch: Scratch): void {
    writeDurably(this.#path(holder), JSON.stringify({ image, chainIds }), scratch.next());
  }

  remove(holder: string): void {
    removeFile(this.#path(holder));
  }

  list(): Hold[] {
    return readdirSync(this.#directory).flatMap((holder) => this.#read(holder) ?? []);
  }

  /** Files that are no holds any more, and why. */
  damaged(): { readonly holder: string; readonly problem: string }[] {
    return readdirSync(this.#directory).flatMap((holder) => {
      try {
        this.#read(holder);
        return [];
      } catch (error) {
        return [{ holder, problem: error instanceof Error ? error.message : String(error) }];
      }
    });
  }

  /** Undefined where the holder has let go meanwhile, which takes no lock. */
  #read(holder: string): Hold | undefined {
    const path = join(this.#directory, holder);
    const bytes = readIfThere(path);
    if (bytes === undefined) return undefined;
    const hold = asObject(parseJson(bytes, path), path);
    const chainIds = asArray(hold['chainIds'], path).map((item) => asDigest(item, path));
    return { holder, image: asDigest(hold['image'], path), chainIds };
  }
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
