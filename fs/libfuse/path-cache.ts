import { LRUCache } from 'lru-cache';
import { type Entry, type FileSystem, ROOT_NODE } from '../filesystem.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFDIR, S_IFMT } from '../sys/constants.ts';
import { EINVAL, ENOENT } from '../sys/errno.ts';
import { type NodeReferences } from './node-references.ts';

interface Cached {
  readonly node: number;
  readonly isDirectory: boolean;
}

/** The directory and the name of a path; `parent` is a negative errno where the directory is not there. */
export interface Place {
  readonly parent: number;
  readonly name: ByteString;
}

// Two paths of a request with all their parents must fit, so that resolving one never drops a node of the other: names
// have at least one byte, and PATH_MAX is 4,096. Longer paths, walked by chdir, come one directory at a time.
const LEAST = 2 * 2048;
const DEFAULT_CAPACITY = 16384;

/** Paths end up here as libfuse has them: absolute, without a trailing slash. */
export function split(path: ByteString): [directory: ByteString, name: ByteString] {
  const at = path.lastIndexOf('/');
  return [path.slice(0, at), path.slice(at + 1)];
}

/**
 * Nodes by path. libfuse's path API names files by path only; each is looked up component by component, once, and
 * remembered until it is removed or renamed here (nobody else changes the union). Bounded; the kernel's dentry cache is
 * in front of it, so that what drops out here is not what is in use.
 */
export class PathCache {
  readonly #fs: Pick<FileSystem, 'lookup'>;
  readonly #references: NodeReferences;
  readonly #entry: Entry;
  readonly #paths: LRUCache<ByteString, Cached>;

  constructor(
    fs: Pick<FileSystem, 'lookup'>,
    references: NodeReferences,
    entry: Entry,
    capacity: number = DEFAULT_CAPACITY,
  ) {
    this.#fs = fs;
    this.#references = references;
    this.#entry = entry;
    this.#paths = new LRUCache({
      max: Math.max(capacity, LEAST),
      dispose: ({ node }) => references.drop(node),
    });
  }

  get size(): number {
    return this.#paths.size;
  }

  /** The node of a path, or a negative errno. Good for this request: whoever keeps it longer must hold it. */
  resolve(path: ByteString): number {
    if (path === '/' || path === '') return ROOT_NODE;
    let known = path;
    let node = this.#paths.get(known)?.node;
    while (node === undefined) {
      known = split(known)[0];
      node = known === '' ? ROOT_NODE : this.#paths.get(known)?.node;
    }
    return this.#walk(path, known.length, node);
  }

  /** Where a name is to be looked up, made or removed. */
  place(path: ByteString): Place {
    const [directory, name] = split(path);
    return { parent: name === '' ? -EINVAL : this.resolve(directory), name };
  }

  /** Remembers the entry that the filesystem has just filled for a path. */
  remember(path: ByteString, { node, attr }: Entry): void {
    this.#references.granted(node);
    this.#paths.set(path, { node, isDirectory: (attr.mode & S_IFMT) === S_IFDIR });
  }

  /** Forgets a path, and all below it. */
  drop(path: ByteString): void {
    const known = this.#paths.peek(path);
    this.#paths.delete(path);
    // Of a directory that has dropped out, entries may still be here.
    if (known !== undefined && !known.isDirectory) return;
    const below = `${path}/`;
    for (const other of [...this.#paths.keys()]) if (other.startsWith(below)) this.#paths.delete(other);
  }

  clear(): void {
    this.#paths.clear();
  }

  /** @param done length of the part of `path` that is `node`. */
  #walk(path: ByteString, done: number, node: number): number {
    let parent = node;
    for (let start = done; start < path.length;) {
      const slash = path.indexOf('/', start + 1);
      const end = slash < 0 ? path.length : slash;
      const entry = this.#entry;
      entry.node = 0;
      const status = this.#fs.lookup(parent, path.slice(start + 1, end), entry);
      if (status < 0) return status;
      if (entry.node === 0) return -ENOENT;
      this.remember(path.slice(0, end), entry);
      parent = entry.node;
      start = end;
    }
    return parent;
  }
}
