import { type ByteString } from '../../fs/sys/bytes.ts';
import { type Metadata } from '../image/entry-metadata.ts';
import { directoryMetadata } from '../image/lower-layers.ts';
import { DirectoryStack, type Found } from './layer-view.ts';

/** Where a path leads in a union, every symlink followed inside of it. */
export interface ResolvedPath {
  /** Free of symlinks, `.` and `..`, as far as it exists. */
  readonly path: readonly ByteString[];
  readonly kind: 'absent' | 'directory' | 'other';
}

// The kernel's own limit of symlinks in one path, MAXSYMLINKS.
const MAX_SYMLINKS = 40;

/** Directories of the union that are kept open, each with a descriptor in every layer that has it. */
const KEPT = 32;

/** The tree that layers make together. It keeps the directories open that it has come through, until it is closed. */
export class MergedTree {
  readonly #root: DirectoryStack;
  readonly #kept = new Map<ByteString, DirectoryStack>();

  /** @param layers absolute paths, the topmost first. */
  constructor(layers: readonly ByteString[]) {
    this.#root = DirectoryStack.open(layers);
  }

  /** What the directory at a path looks like, which is reached through no symlink; undefined where there is none. */
  metadata(path: readonly ByteString[]): Metadata | undefined {
    const top = this.#directory(path)?.top;
    return top === undefined ? undefined : directoryMetadata(top.dirfd);
  }

  /** What is at a path, through no symlink. What it comes with is open until the next call. */
  find(path: readonly ByteString[]): Found {
    const name = path.at(-1);
    if (name === undefined) return { kind: 'directory', stack: this.#root };
    const key = path.join('/');
    const kept = this.#kept.get(key);
    if (kept !== undefined) return { kind: 'directory', stack: kept };
    const found = this.#directory(path.slice(0, -1))?.find(name) ?? { kind: 'absent' };
    if (found.kind !== 'directory') return found;
    if (this.#kept.size >= KEPT) this.#forget();
    this.#kept.set(key, found.stack);
    return found;
  }

  #directory(path: readonly ByteString[]): DirectoryStack | undefined {
    const found = this.find(path);
    return found.kind === 'directory' ? found.stack : undefined;
  }

  /** Resolves a path as a process would whose root the union is; answers undefined for a path that leads nowhere. */
  resolve(path: ByteString): ResolvedPath | undefined {
    const todo = componentsOf(path);
    let done: ByteString[] = [];
    let links = 0;
    for (let name = todo.shift(); name !== undefined; name = todo.shift()) {
      if (name === '..') {
        done.pop();
        continue;
      }
      const found = this.find([...done, name]);
      if (found.kind === 'symlink') {
        links += 1;
        if (links > MAX_SYMLINKS) return undefined;
        todo.unshift(...componentsOf(found.target));
        if (found.target.startsWith('/')) done = [];
        continue;
      }
      done.push(name);
      if (found.kind === 'directory') continue;
      if (found.kind === 'absent')
        return todo.includes('..') ? undefined : { path: [...done, ...todo], kind: 'absent' };
      return todo.length > 0 ? undefined : { path: done, kind: 'other' };
    }
    return { path: done, kind: 'directory' };
  }

  #forget(): void {
    for (const stack of this.#kept.values()) stack.close();
    this.#kept.clear();
  }

  close(): void {
    this.#forget();
    this.#root.close();
  }
}

function componentsOf(path: ByteString): ByteString[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

/** `MergedTree.resolve` of one path. */
export function resolveInLayers(layers: readonly ByteString[], path: ByteString): ResolvedPath | undefined {
  const tree = new MergedTree(layers);
  try {
    return tree.resolve(path);
  } finally {
    tree.close();
  }
}
