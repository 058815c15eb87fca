import { randomInt } from 'node:crypto';
import { ROOT_NODE } from '../filesystem.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFDIR, S_IFREG } from '../sys/constants.ts';
import { close } from '../sys/file.ts';
import { type Backings } from './backings.ts';
import { type DirectoryFds } from './directory-fds.ts';
import { Inode } from './inode.ts';
import { NodeNumbers } from './node-numbers.ts';
import { type ResidentFiles } from './resident-file.ts';

/**
 * All inodes in memory, by node number. A number is used again after its inode went, with another generation.
 *
 * Invariant: an inode stays while the kernel holds references, while it is open, while a child of it is in memory, or
 * while it stands for lower hard links that were copied up (only memory knows then that they are one file). Where file
 * handles are to lead to files (`nfs_export`), it stays for as long as it has a name, once the kernel has known it.
 */
export class InodeTable {
  readonly #inodes: NodeNumbers<Inode>;
  readonly #fds: DirectoryFds;
  readonly #backings: Backings;
  readonly #residents: ResidentFiles;
  readonly #keepsKnown: boolean;
  count = 0;
  /** Closes the descriptor of a regular file that had no name any more. */
  closeUnlinked: (fd: number) => void = close;

  constructor(fds: DirectoryFds, backings: Backings, residents: ResidentFiles, keepsKnown: boolean) {
    this.#fds = fds;
    this.#backings = backings;
    this.#residents = residents;
    this.#keepsKnown = keepsKnown;
    // A handle of an earlier mount must not lead to another file.
    this.#inodes = new NodeNumbers(ROOT_NODE, keepsKnown ? randomInt(1, 2 ** 31) : 0);
    this.create(S_IFDIR, 0, undefined, '');
  }

  get root(): Inode {
    const root = this.#inodes.get(ROOT_NODE);
    if (root === undefined) throw new Error('the root inode is gone');
    return root;
  }

  get(id: number): Inode | undefined {
    return this.#inodes.get(id);
  }

  /** By which the kernel tells an inode from those that had its number before. */
  generationOf(inode: Inode): number {
    return this.#inodes.generationOf(inode.id);
  }

  create(type: number, ino: number, parent: Inode | undefined, name: ByteString): Inode {
    const id = this.#inodes.take();
    const inode = new Inode(id, type, ino, parent, name);
    this.#inodes.set(id, inode);
    this.count++;
    parent?.addChild(name, inode);
    return inode;
  }

  forget(id: number, lookups: number): void {
    const inode = this.#inodes.get(id);
    if (inode === undefined) return;
    inode.kept = this.#keepsKnown;
    if (id === inode.id) inode.nlookup = Math.max(0, inode.nlookup - lookups);
    else this.#forgetFormer(inode, id, lookups);
    this.release(inode);
  }

  /**
   * Gives a file that the kernel has open another node number, by which it is another file to the kernel, with data
   * elsewhere; whoever has it open goes on with the former one. Its names lead to the new one once the kernel looks them
   * up again, as it does where an open is answered ESTALE (do_filp_open).
   */
  renumber(inode: Inode): void {
    inode.formers ??= [];
    inode.formers.push({ id: inode.id, nlookup: inode.nlookup });
    inode.id = this.#inodes.take();
    inode.nlookup = 0;
    inode.passing = 0;
    inode.caching = 0;
    inode.passedThrough = false;
    this.#inodes.set(inode.id, inode);
  }

  /** A file handle may still bear the former number, and is to lead here for as long as the file has a name. */
  #forgetFormer(inode: Inode, id: number, lookups: number): void {
    const former = inode.formers?.find((one) => one.id === id);
    if (former === undefined) return;
    former.nlookup = Math.max(0, former.nlookup - lookups);
    if (former.nlookup > 0 || this.#keepsKnown) return;
    const left = inode.formers?.filter((one) => one !== former);
    inode.formers = left?.length === 0 ? undefined : left;
    this.#inodes.free(former.id);
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
    for (const [id, inode] of this.#inodes.entries()) if (inode.id === id) yield inode;
  }

  #isIdle(inode: Inode): boolean {
    return (
      inode.nlookup === 0 &&
      inode.formers?.some((former) => former.nlookup > 0) !== true &&
      (!inode.kept || inode.unlinked) &&
      inode.id !== ROOT_NODE &&
      inode.handles === undefined &&
      inode.copying === undefined &&
      (inode.children === undefined || inode.children.size === 0) &&
      (inode.lowerLinks === 0 || inode.indexName !== '') &&
      (inode.lostLinks === 0 || inode.unlinked) &&
      this.#inodes.get(inode.id) === inode
    );
  }

  #drop(inode: Inode): void {
    this.#forgetName(inode, inode.parent, inode.name);
    for (const alias of inode.aliases ?? []) this.#forgetName(inode, alias.parent, alias.name);
    inode.linkedIn?.linked.delete(inode.realIno);
    if (inode.originIno !== 0) inode.origin?.linked.delete(inode.originIno);
    if (inode.upper !== undefined) this.#fds.drop(inode.upper);
    for (const lower of inode.lowers) this.#fds.drop(lower);
    inode.listed = undefined;
    this.#backings.end(inode);
    this.#residents.drop(inode);
    // The last that holds it.
    if (inode.pinned >= 0 && inode.type === S_IFREG) this.closeUnlinked(inode.pinned);
    else if (inode.pinned >= 0) close(inode.pinned);
    for (const former of inode.formers ?? []) this.#inodes.free(former.id);
    this.#inodes.free(inode.id);
    this.count--;
  }

  #forgetName(inode: Inode, parent: Inode | undefined, name: ByteString): void {
    if (parent?.children?.get(name) === inode) parent.children.delete(name);
  }
}
