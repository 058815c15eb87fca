import { type ByteString } from '../sys/bytes.ts';
import { type NodeReferences } from './node-references.ts';
import { split } from './path-cache.ts';

// When an open file is removed, libfuse renames it to a name of its own, which it removes when the file is closed. In
// the union, the file is removed at once: no placeholder lies about, and nothing is left behind where we are killed. The
// name lives here only, and stands for the node.

/** hide_node of libfuse: its node number and a counter. */
const PATTERN = /^\.fuse_hidden[0-9a-f]{8}([0-9a-f]{8})$/;
const PREFIX = '.fuse_hidden';

/** Removals that other threads of libfuse may have begun since the one that is looked at. */
const CONCURRENT = 64;

/**
 * Whether a rename is libfuse's removal of an open file, and not a user's to a name of that form.
 * @param counter libfuse's own, which it counts up for each removal.
 */
export function isHiding(path: ByteString, destination: ByteString, counter: number): boolean {
  const [directory, name] = split(destination);
  const digits = PATTERN.exec(name)?.[1];
  if (digits === undefined || directory !== split(path)[0]) return false;
  return (counter - parseInt(digits, 16)) >>> 0 < CONCURRENT;
}

/** Nodes of open files without a name, by the last component of the path that libfuse has given them. */
export class Placeholders {
  readonly #references: NodeReferences;
  readonly #nodes = new Map<ByteString, number>();

  constructor(references: NodeReferences) {
    this.#references = references;
  }

  add(path: ByteString, node: number): void {
    this.#references.hold(node);
    this.#nodes.set(split(path)[1], node);
  }

  find(path: ByteString): number | undefined {
    if (this.#nodes.size === 0 || !path.includes(PREFIX)) return undefined;
    return this.#nodes.get(split(path)[1]);
  }

  /** Whether there is one for a node. */
  has(node: number): boolean {
    return this.#nodes.size > 0 && [...this.#nodes.values()].includes(node);
  }

  /** Removes all of a node. */
  removeOf(node: number): void {
    for (const [name, hidden] of this.#nodes) if (hidden === node) this.remove(`/${name}`);
  }

  /** Answers whether there was one. */
  remove(path: ByteString): boolean {
    const node = this.find(path);
    if (node === undefined) return false;
    this.#nodes.delete(split(path)[1]);
    this.#references.drop(node);
    return true;
  }
}
