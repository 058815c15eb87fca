import { randomInt } from 'node:crypto';
import { ROOT_NODE } from '../filesystem.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFDIR } from '../sys/constants.ts';
import { close } from '../sys/file.ts';
import { type DirectoryFds } from './directory-fds.ts';
import { Inode } from './inode.ts';

/**
 * All inodes in memory, by node number. A number is used again after its inode went, with another generation.
 *
 * Invariant: an inode stays while the kernel holds references, while it is open, while a child of it is in memory, or
 * while it stands for lower hard links that were copied up (only memory knows then that they are one file). Where file
 * handles are to lead to files (`nfs_export`), it stays for as long as it has a name, once the kernel has known it.
 */
export class InodeTable {
  readonly #inodes: (Inode | undefined)[] = [undefined];
  readonly #generations: number[] = [0];
  readonly #free: number[] = [];
  readonly #fds: DirectoryFds;
  readonly #keepsKnown: boolean;
  /** Generation of a number used for the first time: a handle of an earlier mount must not lead to another file. */
  readonly #firstGeneration: number;
  count = 0;

  constructor(fds: DirectoryFds, keepsKnown: boolean) {
    this.#fds = fds;
    this.#keepsKnown = keepsKnown;
    this.#firstGeneration = keepsKnown ? randomInt(1, 2 ** 31) : 0;
    this.create(S_IFDIR, 0, undefined, '');
  }

  get root(): Inode {
    const root = this.#inodes[ROOT_NODE];
    if (root === undefined) throw new Error('the root inode is gone');
    return root;
  }

  get(id: number): Inode | undefined {
    return this.#inodes[id];
  }

  create(type: number, ino: number, parent: Inode | undefined, name: ByteString): Inode {
    const id = this.#free.pop() ?? this.#inodes.length;
    const inode = new Inode(id, this.#generations[id] ?? this.#firstGeneration, type, ino, parent, name);
    this.#inodes[id] = inode;
    this.count++;
    parent?.addChild(name, inode);
    return inode;
  }

  forget(id: number, lookups: number): void {
    const inode = this.#inodes[id];
    if (inode === undefined) return;
    inode.nlookup = Math.max(0, inode.nlookup - lookups);
    inode.kept = this.#keepsKnown;
    this.release(inode);
  }

  /** Drops the inode, and then its parents, where nothing holds them. */
  release(inode: Inode): void {
    for (let next: Inode | undefined = inode; next !== undefined && this.#isIdle(next);) {
      const { parent }: Inode = next;
      this.#drop(next);
      next = parent;
    }
  }

  *all(): Generator<Inode> {
    for (const inode of this.#inodes) if (inode !== undefined) yield inode;
  }

  #isIdle(inode: Inode): boolean {
    return (
      inode.nlookup === 0 &&
      (!inode.kept || inode.unlinked) &&
      inode.id !== ROOT_NODE &&
      inode.handles === undefined &&
      inode.copying === undefined &&
      (inode.children === undefined || inode.children.size === 0) &&
      (inode.lowerLinks === 0 || inode.indexName !== '') &&
      (inode.lostLinks === 0 || inode.unlinked) &&
      this.#inodes[inode.id] === inode
    );
  }

  #drop(inode: Inode): void {
    this.#forgetName(inode, inode.parent, inode.name);
    for (const alias of inode.aliases ?? []) this.#forgetName(inode, alias.parent, alias.name);
    inode.linkedIn?.linked.delete(inode.realIno);
    if (inode.originIno !== 0) inode.origin?.linked.delete(inode.originIno);
    if (inode.pinned >= 0) close(inode.pinned);
    if (inode.upper !== undefined) this.#fds.drop(inode.upper);
    for (const lower of inode.lowers) this.#fds.drop(lower);
    inode.listed = undefined;
    this.#inodes[inode.id] = undefined;
    this.#generations[inode.id] = inode.generation + 1;
    this.#free.push(inode.id);
    this.count--;
  }

  #forgetName(inode: Inode, parent: Inode | undefined, name: ByteString): void {
    if (parent?.children?.get(name) === inode) parent.children.delete(name);
  }
}
