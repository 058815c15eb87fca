import { ROOT_NODE } from '../filesystem.ts';

interface Reference {
  users: number;
  /** Lookups that the filesystem has counted for us, and wants back. */
  lookups: number;
}

/** The part of the filesystem that counts lookups. */
interface Forgetful {
  forget(node: number, lookups: number): void;
}

/**
 * Plays the kernel's inode cache, which libfuse's path API has none of: a node is kept while a path, an open file or a
 * placeholder uses it, and then given back with all its lookups.
 */
export class NodeReferences {
  readonly #fs: Forgetful;
  readonly #nodes = new Map<number, Reference>();

  constructor(fs: Forgetful) {
    this.#fs = fs;
  }

  /** Nodes that are held. */
  get size(): number {
    return this.#nodes.size;
  }

  /** The filesystem has filled an entry for us, which counts as a lookup: one more user. */
  granted(node: number): void {
    if (node === ROOT_NODE) return;
    const known = this.#nodes.get(node);
    if (known === undefined) {
      this.#nodes.set(node, { users: 1, lookups: 1 });
      return;
    }
    known.users += 1;
    known.lookups += 1;
  }

  /** One more user of a node that is held already. */
  hold(node: number): void {
    if (node === ROOT_NODE) return;
    const known = this.#nodes.get(node);
    if (known === undefined) throw new Error(`node ${node} is not held`);
    known.users += 1;
  }

  /** One user less; the last one gives the node back. */
  drop(node: number): void {
    const known = this.#nodes.get(node);
    if (known === undefined) return;
    known.users -= 1;
    if (known.users > 0) return;
    this.#nodes.delete(node);
    this.#fs.forget(node, known.lookups);
  }
}
