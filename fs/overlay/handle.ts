import { NO_HANDLE } from '../filesystem.ts';
import { type ByteString } from '../sys/bytes.ts';
import { close } from '../sys/file.ts';
import { type DirectoryIndex } from './directory-index.ts';
import { type Inode } from './inode.ts';
import { type OpenFile } from './open-file.ts';

const NO_NAMES: readonly ByteString[] = [];

/** A file that is open goes through its backing, or through the page cache of the union's own inode. */
export const WAY = { none: 0, passing: 1, caching: 2 } as const;
export type Way = (typeof WAY)[keyof typeof WAY];

/** In the place of a descriptor: a directory has none. */
export const NO_FD = -1;
/** In the place of a descriptor: what is open of the inode for all who read it (`readerOf`). */
export const SHARED = -2;

/** An open file or directory. */
export class Handle implements OpenFile {
  readonly id: number;
  readonly inode: Inode;
  /** The inode's node number when it was opened. */
  readonly node: number;
  /** How the kernel reads and writes it. */
  readonly way: Way;
  /** Descriptor of the file in its layer; NO_FD or SHARED. Copy-up puts the new file under the same number. */
  fd: number;
  /** open(2) flags of the descriptor: how it is accessed, and O_DIRECT. */
  readonly flags: number;
  /** Of a directory: the index's `order` when reading it began, in which the cursor is a place, and its length then. */
  order: readonly (ByteString | undefined)[] = NO_NAMES;
  end = 0;
  /** The index that the names are from; see `list`. */
  index: DirectoryIndex | undefined = undefined;
  /** Job of the slow lane that reaches the disk for it, or -1. */
  syncJob = -1;
  next: Handle | undefined;

  constructor(id: number, inode: Inode, fd: number, flags: number, way: Way) {
    this.id = id;
    this.inode = inode;
    this.node = inode.id;
    this.way = way;
    this.fd = fd;
    this.flags = flags;
    this.next = inode.handles;
    inode.handles = this;
    if (way === WAY.passing) inode.passing++;
    else if (way === WAY.caching) inode.caching++;
  }

  /** Begins to read a directory by an index, which all who have it open share; undefined ends it. */
  list(index: DirectoryIndex | undefined): void {
    const { inode, index: before } = this;
    if (index !== undefined) {
      index.readers++;
      inode.listed = index;
      this.order = index.order;
      this.end = index.order.length;
    }
    this.index = index;
    if (before === undefined) return;
    before.readers--;
    if (before.readers === 0 && inode.listed === before) inode.listed = undefined;
  }
}

/** Open files by number; a number is used again after its file was closed. */
export class HandleTable {
  readonly #handles: (Handle | undefined)[] = [];
  readonly #free: number[] = [];
  count = 0;

  open(inode: Inode, fd: number, flags: number, way: Way): number {
    const id = this.#free.pop() ?? this.#handles.length;
    this.#handles[id] = new Handle(id, inode, fd, flags, way);
    this.count++;
    return id;
  }

  get(id: number): Handle | undefined {
    return id === NO_HANDLE ? undefined : this.#handles[id];
  }

  /** Closes the file and answers its inode. */
  close(id: number): Inode | undefined {
    const handle = this.#handles[id];
    if (handle === undefined) return undefined;
    this.#handles[id] = undefined;
    this.#free.push(id);
    this.count--;
    handle.list(undefined);
    unchain(handle);
    uncount(handle);
    if (handle.fd >= 0) close(handle.fd);
    return handle.inode;
  }
}

/** Those of a former node count no more. */
function uncount({ inode, node, way }: Handle): void {
  if (node !== inode.id) return;
  if (way === WAY.passing) inode.passing--;
  else if (way === WAY.caching) inode.caching--;
}

function unchain(handle: Handle): void {
  const { inode } = handle;
  if (inode.handles === handle) {
    inode.handles = handle.next;
    return;
  }
  let before = inode.handles;
  while (before !== undefined && before.next !== handle) before = before.next;
  if (before !== undefined) before.next = handle.next;
}
