import { type Attr } from './sys/attr.ts';
import { type ByteString } from './sys/bytes.ts';
import { type FileOffset } from './sys/file-offset.ts';
import { type Memory } from './sys/memory.ts';
import { type Times } from './sys/metadata.ts';

// The seam between what speaks to the kernel (fs/fuse, fs/libfuse) and what knows the union (fs/overlay): one
// inode-based interface, in the shape of libfuse's low-level API, free of either side's details.
//
// Conventions. A method answers 0 or a count, or a negative errno; it does not throw for anything a request can cause.
// Nodes and handles are small integers that the filesystem hands out; ROOT_NODE is there from the start. Names are
// ByteStrings without `/`. `Entry`, `Attr`, `Opened` and the like belong to the caller, who pools them; the filesystem
// fills them. Data is read to and written from memory addresses.

/** The root's node, as in the FUSE protocol (FUSE_ROOT_ID). */
export const ROOT_NODE = 1;

/** No open file came with the request. */
export const NO_HANDLE = -1;

/** In the place of an errno: not yet; see `FileSystem.allowDeferral`. No kernel's errno reaches 4096. */
export const DEFERRED = -4096;

/** Who asks. */
export interface Caller {
  uid: number;
  gid: number;
  pid: number;
  /** Only set in requests that create. */
  umask: number;
}

/** What a name stands for; each fill of a positive entry counts as one lookup, to be given back by `forget`. */
export interface Entry {
  /** 0: there is no such name, and the kernel may remember that. */
  node: number;
  /** Differs for two files that bear the same node number one after the other. */
  generation: number;
  readonly attr: Attr;
  /** As `FileSystem.attributesLast` answers for the node. */
  attributesLast: boolean;
}

/** Result of an open. */
export interface Opened {
  handle: number;
  /** The page cache holds what is on disk: the kernel may keep it over this open (FOPEN_KEEP_CACHE). */
  keepCache: boolean;
  /** Reads and writes must reach the filesystem (FOPEN_DIRECT_IO). */
  directIo: boolean;
  /**
   * What `Passthrough.register` answered for the file that the kernel is to read, write and map by itself, or 0: it asks
   * the filesystem. All open files of a node have the same, and `keepCache` does not go with it; with `directIo`, only
   * mappings are the kernel's own.
   */
  backing: number;
}

/** Which attributes `setattr` is to change. */
export interface AttrChange {
  /** Bits of `CHANGE`. */
  valid: number;
  mode: number;
  uid: number;
  gid: number;
  size: FileOffset;
  /** Both times, UTIME_NOW and UTIME_OMIT where they are to be now or left; used where CHANGE.times is set. */
  readonly times: Times;
}

export const CHANGE = {
  mode: 1,
  uid: 2,
  gid: 4,
  size: 8,
  times: 16,
  /** The change clears setuid, setgid and file capabilities (FATTR_KILL_SUIDGID). */
  killPrivileges: 32,
} as const;

export const WRITE = {
  /** setuid, setgid and file capabilities are to be cleared (FUSE_WRITE_KILL_SUIDGID). */
  killPrivileges: 1,
  /**
   * Whatever the handle's open asked for, not as O_DIRECT: from the page cache, through any handle that can write, or after
   * fcntl(2) took O_DIRECT away.
   */
  buffered: 2,
  /** The writer has the file open with O_APPEND. */
  appends: 4,
} as const;

/** Where a directory's entries go. */
export interface DirectorySink {
  /** Entries are wanted with their attributes (READDIRPLUS). */
  readonly plus: boolean;
  /** To be filled, in plus mode, between `fits` and `add`. A node of 0 gives the name and type without attributes. */
  readonly entry: Entry;
  /** Whether an entry of this name has room. */
  fits(name: ByteString): boolean;
  /**
   * Adds an entry that fits.
   * @param type DT_* of the entry.
   * @param next the offset at which a later `readdir` goes on behind this entry.
   */
  add(name: ByteString, ino: number, type: number, next: number): void;
}

/** Tells the kernel to drop what it remembers; answers 0 or a negative errno. Never call it while the kernel waits on
 * the same directory or inode: it would take locks that the waiting request holds. */
export interface Notifier {
  invalidateEntry(parent: number, name: ByteString): number;
  /** Attributes, and the page cache from `offset` for `length` bytes (0: to the end; a negative offset: none of it). */
  invalidateInode(node: number, offset: number, length: number): number;
  /**
   * Puts a file's content into the kernel's page cache, as far as it is in memory, or all of it where its filesystem cannot
   * tell, so that who reads it need not ask. Never while somebody has the node open: who waits for what he reads holds
   * locks, too.
   *
   * @param fd of the file, for reading.
   * @param limit bytes: EFBIG where there are more.
   */
  storeContent(node: number, fd: number, limit: number): number;
}

/** Files that the kernel reads, writes and maps without asking. */
export interface Passthrough {
  /** Makes the regular file of a descriptor known to the kernel; answers its number, above 0, or a negative errno. */
  register(fd: number): number;
  /** Files that are open by the number stay so. */
  unregister(backing: number): void;
}

export interface FileSystem {
  /**
   * Called once, before the first request, when the kernel is there.
   *
   * @param passthrough where the kernel has it.
   * @param storesContent whether `Notifier.storeContent` can be used.
   */
  start(notifier: Notifier, passthrough: Passthrough | undefined, storesContent: boolean): void;
  /**
   * Lets the filesystem put off what takes long. A method may from then on answer DEFERRED, with nothing changed; the
   * request is to be made again, as it was, whenever the descriptor that this answers (an eventfd, to be read) becomes
   * readable. A session that can answer one request only after the other does not call it.
   */
  allowDeferral(): number;
  /** After how many ms without a request `rest` is to be called; negative: it need not be. */
  readonly restsAfter: number;
  /** Nobody asks for anything: let go of what is held only because it may be asked for again. */
  rest(): void;
  /** Called once after the last request: release everything. */
  destroy(): void;

  /** Lifetime of entries and attributes in the kernel, seconds. */
  readonly timeout: number;
  /** Whether POSIX ACLs are kept, so that the kernel checks them (FUSE_POSIX_ACL). */
  readonly acl: boolean;
  /**
   * Whether a node stays good after it was forgotten, for as long as its file has a name, so that file handles lead to
   * it (FUSE_EXPORT_SUPPORT). `lookup` takes the names `.`, of any node, and `..`, of a directory, for that.
   */
  readonly exportable: boolean;
  /**
   * Whether directories are to be opened before they are read. Where they need not be, a session may answer OPENDIR by
   * itself, and give `readdir` NO_HANDLE.
   */
  readonly opensDirectories: boolean;
  /**
   * Whether files are to be opened before they are read or written. Where they need not be, a session may answer OPEN and
   * CREATE by ENOSYS, and give NO_HANDLE: a file is then copied up by the first write to it.
   */
  readonly opensFiles: boolean;
  /** Why the kernel cannot read and write these files by itself, or empty: it can, those that may be. */
  readonly passthroughObstacle: string;
  /** Whether a node's attributes stay as they were told until a request changes them, so that the kernel can keep them. */
  attributesLast(node: number): boolean;

  lookup(parent: number, name: ByteString, entry: Entry): number;
  forget(node: number, lookups: number): void;
  getattr(node: number, handle: number, attr: Attr): number;
  setattr(caller: Caller, node: number, handle: number, change: AttrChange, attr: Attr): number;
  /** Writes the target at `address`; answers its length. */
  readlink(node: number, address: number, size: number): number;

  mknod(caller: Caller, parent: number, name: ByteString, mode: number, rdev: number, entry: Entry): number;
  mkdir(caller: Caller, parent: number, name: ByteString, mode: number, entry: Entry): number;
  symlink(caller: Caller, parent: number, name: ByteString, target: ByteString, entry: Entry): number;
  link(node: number, parent: number, name: ByteString, entry: Entry): number;
  unlink(parent: number, name: ByteString): number;
  rmdir(parent: number, name: ByteString): number;
  /** @param flags RENAME_NOREPLACE, RENAME_EXCHANGE. */
  rename(parent: number, name: ByteString, newParent: number, newName: ByteString, flags: number): number;

  /** @param flags open(2) flags, without O_CREAT and O_EXCL. */
  open(node: number, flags: number, opened: Opened): number;
  create(
    caller: Caller,
    parent: number,
    name: ByteString,
    mode: number,
    flags: number,
    entry: Entry,
    opened: Opened,
  ): number;
  /** O_TMPFILE: a file without a name. */
  tmpfile(caller: Caller, parent: number, mode: number, flags: number, entry: Entry, opened: Opened): number;
  /** Whether reads may wait for a disk for long, so that `awaitData` is to be asked before each. */
  readonly expectsSlowReads: boolean;
  /** 0 once data can be read, or DEFERRED. */
  awaitData(node: number, handle: number, offset: FileOffset, size: number): number;
  /** Tells how long a read took; said of each that `awaitData` was not asked about. */
  readTook(milliseconds: number): void;
  /**
   * Answers the bytes read.
   * @param buffered not as O_DIRECT, whatever the handle's open asked for.
   */
  read(node: number, handle: number, offset: FileOffset, size: number, address: number, buffered: boolean): number;
  /** A descriptor of the file that `read` reads, for those who have the kernel move the data, or a negative errno. */
  fileToRead(node: number, handle: number, buffered: boolean): number;
  /**
   * Answers the bytes written.
   * @param flags bits of `WRITE`.
   */
  write(node: number, handle: number, offset: FileOffset, size: number, address: number, flags: number): number;
  /**
   * The descriptor to write data to, where it need not come from memory, for a session that then says `written`; or a
   * negative errno or DEFERRED, which say no more than that it is to call `write`.
   */
  fileToWrite(node: number, handle: number, flags: number): number;
  /** Data was written to what `fileToWrite` answered. */
  written(node: number, flags: number): void;
  fsync(node: number, handle: number, dataOnly: boolean): number;
  release(node: number, handle: number): void;
  fallocate(node: number, handle: number, mode: number, offset: FileOffset, length: FileOffset): number;
  /** SEEK_DATA and SEEK_HOLE; answers the offset. */
  lseek(node: number, handle: number, offset: FileOffset, whence: number): FileOffset;
  /** Answers the bytes copied. */
  copyFileRange(
    node: number,
    handle: number,
    offset: FileOffset,
    toNode: number,
    toHandle: number,
    toOffset: FileOffset,
    length: number,
  ): number;
  /** An ioctl on a file: `input` bytes are at `address`, up to `output` bytes of answer go there. */
  ioctl(node: number, handle: number, request: number, address: number, input: number, output: number): number;

  opendir(node: number, opened: Opened): number;
  readdir(node: number, handle: number, offset: number, sink: DirectorySink): number;
  releasedir(node: number, handle: number): void;
  fsyncdir(node: number, handle: number, dataOnly: boolean): number;

  /** With `size` 0, answers the length of the value. */
  getxattr(node: number, name: ByteString, address: number, size: number): number;
  /** @param trusted with the names in `trusted.*`, which only root sees. */
  listxattr(node: number, address: number, size: number, trusted: boolean): number;
  /** @param flags XATTR_CREATE (1), XATTR_REPLACE (2). */
  setxattr(node: number, name: ByteString, address: number, size: number, flags: number): number;
  removexattr(node: number, name: ByteString): number;

  /** Fills the C library's `struct statfs` (120 bytes). */
  statfs(node: number, out: Memory): number;
  syncfs(node: number): number;
}
