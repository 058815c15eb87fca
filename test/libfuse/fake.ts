import { type Entry, type FileSystem, ROOT_NODE } from '../../fs/filesystem.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { ENOTDIR } from '../../fs/sys/errno.ts';
import { type ByteString } from '../../fs/sys/bytes.ts';
import { S_IFDIR, S_IFREG } from '../../fs/sys/constants.ts';

interface Node {
  readonly children: Map<ByteString, number> | undefined;
}

export function newEntry(): Entry {
  return { node: 0, generation: 0, attr: new Attr(), attributesLast: true };
}

/** A tree that counts lookups as the union does, and tells what is still held. */
export class CountingTree implements Pick<FileSystem, 'lookup' | 'forget'> {
  readonly #nodes: Node[] = [{ children: undefined }, { children: new Map() }];
  readonly #held = new Map<number, number>();
  lookups = 0;

  /** Makes a file or, with a slash at the end, a directory; answers its node. */
  make(path: string): number {
    let parent = ROOT_NODE;
    const names = path.split('/').filter((name) => name !== '');
    for (const [index, name] of names.entries()) {
      const isDirectory = index < names.length - 1 || path.endsWith('/');
      parent = this.#childOf(parent, name, isDirectory);
    }
    return parent;
  }

  /** Moves a name, as a rename does. */
  move(from: string, to: string): void {
    const [oldParent, oldName] = this.#place(from);
    const [newParent, newName] = this.#place(to);
    const node = oldParent.get(oldName);
    if (node === undefined) throw new Error(`${from} is not there`);
    oldParent.delete(oldName);
    newParent.set(newName, node);
  }

  remove(path: string): void {
    const [parent, name] = this.#place(path);
    parent.delete(name);
  }

  lookup(parent: number, name: ByteString, entry: Entry): number {
    this.lookups += 1;
    const children = this.#nodes[parent]?.children;
    if (children === undefined) return -ENOTDIR;
    const node = children.get(name) ?? 0;
    entry.node = node;
    if (node === 0) return 0;
    entry.attr.mode = this.#nodes[node]?.children === undefined ? S_IFREG : S_IFDIR;
    this.#held.set(node, (this.#held.get(node) ?? 0) + 1);
    return 0;
  }

  forget(node: number, lookups: number): void {
    const left = (this.#held.get(node) ?? 0) - lookups;
    if (left < 0) throw new Error(`node ${node} is given back more often than it was looked up`);
    if (left === 0) this.#held.delete(node);
    else this.#held.set(node, left);
  }

  /** Lookups of a node that were not given back. */
  held(node: number): number {
    return this.#held.get(node) ?? 0;
  }

  get heldNodes(): number {
    return this.#held.size;
  }

  #childOf(parent: number, name: string, isDirectory: boolean): number {
    const children = this.#nodes[parent]?.children;
    if (children === undefined) throw new Error(`${name} is to be made in what is no directory`);
    const known = children.get(name);
    if (known !== undefined) return known;
    const node = this.#nodes.push({ children: isDirectory ? new Map() : undefined }) - 1;
    children.set(name, node);
    return node;
  }

  #place(path: string): [children: Map<ByteString, number>, name: string] {
    const at = path.lastIndexOf('/');
    let node = ROOT_NODE;
    for (const name of path.slice(1, at).split('/')) {
      if (name !== '') node = this.#nodes[node]?.children?.get(name) ?? 0;
    }
    const children = this.#nodes[node]?.children;
    if (children === undefined) throw new Error(`${path} has no directory`);
    return [children, path.slice(at + 1)];
  }
}
