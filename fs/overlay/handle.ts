import { NO_HANDLE, type Notification } from '../filesystem.ts';
import { type ByteString } from '../sys/bytes.ts';
import { close } from '../sys/file.ts';
import { type DirectoryIndex } from './directory-index.ts';
import { type Inode } from './inode.ts';

interface WriteBack {
  readonly notification: Notification;
  readonly job: number;
}

/** An open file or directory. */
export class Handle {
  readonly id: number;
  readonly inode: Inode;
  /** Descriptor of the file in its layer; -1 for a directory. Copy-up puts the new file under the same number. */
  readonly fd: number;
  /** open(2) flags of the descriptor: how it is accessed, and O_DIRECT. */
  readonly flags: number;
  /** Names of a directory as they were when reading it began: the cursor is an index here. */
  names: readonly ByteString[] | undefined = undefined;
  /** The index that the names are from. */
  index: DirectoryIndex | undefined = undefined;
  /** Job of the slow lane that reaches the disk for it, or -1. */
  syncJob = -1;
  /** What has the kernel write dirty pages back, and the job of the slow lane that sends it. */
  writeBack: WriteBack | undefined = undefined;
  next: Handle | undefined;

  constructor(id: number, inode: Inode, fd: number, flags: number) {
    this.id = id;
    this.inode = inode;
    this.fd = fd;
    this.flags = flags;
    this.next = inode.handles;
    inode.handles = this;
  }
}

/** Open files by number; a number is used again after its file was closed. */
export class HandleTable {
  readonly #handles: (Handle | undefined)[] = [];
  readonly #free: number[] = [];
  count = 0;

  open(inode: Inode, fd: number, flags: number): number {
    const id = this.#free.pop() ?? this.#handles.length;
    this.#handles[id] = new Handle(id, inode, fd, flags);
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
    unchain(handle);
    if (handle.fd >= 0) close(handle.fd);
    return handle.inode;
  }
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
