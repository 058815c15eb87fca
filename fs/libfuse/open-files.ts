import { type NodeReferences } from './node-references.ts';

/** Which node an open file or directory is of: libfuse tells the path, which may have gone. */
export class OpenFiles {
  readonly #references: NodeReferences;
  readonly #nodes: (number | undefined)[] = [];
  readonly #counts = new Map<number, number>();

  constructor(references: NodeReferences) {
    this.#references = references;
  }

  /** The node must be held already; it is held until the handle is removed. */
  add(handle: number, node: number): void {
    this.#references.hold(node);
    this.#nodes[handle] = node;
    this.#counts.set(node, (this.#counts.get(node) ?? 0) + 1);
  }

  get(handle: number): number | undefined {
    return this.#nodes[handle];
  }

  isOpen(node: number): boolean {
    return this.#counts.has(node);
  }

  /** Handles of a node. */
  count(node: number): number {
    return this.#counts.get(node) ?? 0;
  }

  remove(handle: number): void {
    const node = this.#nodes[handle];
    if (node === undefined) return;
    this.#nodes[handle] = undefined;
    const left = (this.#counts.get(node) ?? 1) - 1;
    if (left === 0) this.#counts.delete(node);
    else this.#counts.set(node, left);
    this.#references.drop(node);
  }
}
