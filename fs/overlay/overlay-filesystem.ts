import {
  type AttrChange,
  type Caller,
  type DirectorySink,
  type Entry,
  type FileSystem,
  type Notifier,
  type Opened,
  type Passthrough,
  NO_HANDLE,
  WRITE,
  ROOT_NODE,
} from '../filesystem.ts';
import { type Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { type FileOffset } from '../sys/file-offset.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  O_APPEND,
  O_CLOEXEC,
  O_DIRECT,
  O_DIRECTORY,
  O_RDONLY,
  S_IFLNK,
} from '../sys/constants.ts';
import { EBADF, EINVAL, EIO, ENOSYS, ENOTDIR, ESTALE } from '../sys/errno.ts';
import { close, copyFileRange, fallocate, fdatasync, fstatfs, fsync, lseek, openat, syncfs } from '../sys/file.ts';
import { type Memory } from '../sys/memory.ts';
import { noteDirectoryAccess } from './access-time.ts';
import { openUpperDirectory } from './copy-up.ts';
import { controlInode } from './inode-flags.ts';
import { createFile, createTemporary, grant, linkInode, makeNode } from './create.ts';
import { type Inode } from './inode.ts';
import { LookAhead, type ReadDirectories } from './look-ahead.ts';
import { resolve, statInode, statOpen } from './lookup.ts';
import { type OpenFile } from './open-file.ts';
import { openInode } from './open.ts';
import { beginPassthrough, expectNoChanges, passthroughObstacle } from './passthrough.ts';
import { NO_FD, SHARED, WAY } from './handle.ts';
import { fileToRead, readData, writeData } from './transfer.ts';
import { COUNTER, DEFAULT_TIMEOUT, type OverlayOptions } from './options.ts';
import { refuseCopy, refuseWrite } from './protection.ts';
import { readEntries } from './read-directory.ts';
import { readTarget } from './read-target.ts';
import { rmdirName, unlinkName } from './remove.ts';
import { readerOf, writerOf } from './resident-files.ts';
import { renameName } from './rename.ts';
import { changeAttributes, clearPrivileges } from './set-attributes.ts';
import { readUnopened } from './shared-listing.ts';
import { SlowLane } from './slow-lane.ts';
import { syncFile } from './sync.ts';
import { Union } from './union.ts';
import { getInodeXattr, listInodeXattrs, removeInodeXattr, setInodeXattr } from './xattrs.ts';

/** Milliseconds: the upper's filesystem cannot be made read-only while a file is open for writing. */
const IDLE = 500;

function parentOf(inode: Inode): Inode | undefined {
  return inode.id === ROOT_NODE ? inode : inode.parent;
}

/** The union as the kernel's requests see it: node numbers become inodes here, and nothing else happens. */
export class OverlayFileSystem implements FileSystem {
  readonly timeout: number;
  readonly acl: boolean;
  readonly exportable: boolean;
  readonly opensDirectories: boolean;
  readonly opensFiles: boolean;
  readonly #union: Union;

  constructor(options: OverlayOptions, readDirectories?: ReadDirectories) {
    this.#union = new Union(options);
    if (readDirectories !== undefined) this.#union.lookAhead = new LookAhead(readDirectories);
    this.timeout = options.timeout ?? DEFAULT_TIMEOUT;
    this.exportable = options.nfsExport === true;
    // An open is an access, where those count; what may have changed underneath is looked at when a directory is opened.
    this.opensDirectories = options.atime === true || !this.#union.isSoleWriter;
    // An ordinary user may have a file open for writing that it could not open again.
    this.opensFiles = this.opensDirectories || process.geteuid?.() !== 0;
    this.acl = options.noAcl !== true && options.noXattrs !== true;
  }

  start(notifier: Notifier, passthrough: Passthrough | undefined, storesContent: boolean): void {
    this.#union.notifier = notifier;
    this.#union.storesContent = storesContent;
    if (this.#union.isSoleWriter && passthrough !== undefined) beginPassthrough(this.#union, passthrough);
  }

  attributesLast(node: number): boolean {
    const inode = this.#inode(node);
    // What is changed by its present number, nobody tells the former one.
    return inode === undefined || (inode.id === node && !inode.changesUnseen);
  }

  get passthroughObstacle(): string {
    return passthroughObstacle(this.#union);
  }

  allowDeferral(): number {
    const lane = new SlowLane();
    this.#union.slowLane = lane;
    return lane.completions;
  }

  get restsAfter(): number {
    const { residents, copyAhead } = this.#union;
    return residents.writers > 0 || copyAhead.isUnderWay ? IDLE : -1;
  }

  rest(): void {
    this.#union.rest();
  }

  destroy(): void {
    this.#union.close();
  }

  lookup(parent: number, name: ByteString, entry: Entry): number {
    const directory = this.#inode(parent);
    if (directory === undefined) return -ESTALE;
    entry.node = 0;
    this.#union.lookedInto = directory;
    if (name === '.' || name === '..') return this.#lookupNode(name === '.' ? directory : parentOf(directory), entry);
    const inode = resolve(this.#union, directory, name, entry.attr);
    if (typeof inode === 'number') return inode;
    grant(this.#union, entry, inode);
    this.#count();
    return 0;
  }

  /** By node alone, as a file handle does (nfs_export). */
  #lookupNode(inode: Inode | undefined, entry: Entry): number {
    const stated = inode === undefined ? -ESTALE : statInode(this.#union, inode, entry.attr);
    if (inode === undefined || stated < 0) return stated;
    grant(this.#union, entry, inode);
    return 0;
  }

  forget(node: number, lookups: number): void {
    this.#union.inodes.forget(node, lookups);
    this.#count();
  }

  getattr(node: number, handle: number, attr: Attr): number {
    const inode = this.#inode(node);
    if (inode === undefined) return -ESTALE;
    if (inode.changesUnseen) expectNoChanges(this.#union, inode);
    const open = this.#union.handles.get(handle);
    // A metacopy's open file is the one below, of which only the data counts.
    if (open !== undefined && open.fd >= 0 && !inode.metacopy) return statOpen(this.#union, inode, open.fd, attr);
    return statInode(this.#union, inode, attr);
  }

  setattr(caller: Caller, node: number, handle: number, change: AttrChange, attr: Attr): number {
    const inode = this.#inode(node);
    if (inode === undefined) return -ESTALE;
    const changed = changeAttributes(this.#union, inode, this.#union.handles.get(handle), change, caller, attr);
    this.#tellOthers(inode);
    return changed;
  }

  /** A file that the kernel knows as several: what was changed by way of one of them changed in all. */
  #tellOthers(inode: Inode): void {
    if (inode.formers !== undefined) this.#union.attributesChanged(inode);
  }

  readlink(node: number, address: number, size: number): number {
    const inode = this.#inode(node);
    if (inode === undefined) return -ESTALE;
    if (inode.type !== S_IFLNK) return -EINVAL;
    return readTarget(this.#union, inode, address, size);
  }

  mknod(caller: Caller, parent: number, name: ByteString, mode: number, rdev: number, entry: Entry): number {
    return this.#make(caller, parent, name, mode, rdev, '', entry);
  }

  mkdir(caller: Caller, parent: number, name: ByteString, mode: number, entry: Entry): number {
    return this.#make(caller, parent, name, (mode & 0o7777) | 0o040000, 0, '', entry);
  }

  symlink(caller: Caller, parent: number, name: ByteString, target: ByteString, entry: Entry): number {
    return this.#make(caller, parent, name, S_IFLNK | 0o777, 0, target, entry);
  }

  link(node: number, parent: number, name: ByteString, entry: Entry): number {
    const inode = this.#inode(node);
    const directory = this.#inode(parent);
    if (inode === undefined || directory === undefined) return -ESTALE;
    return linkInode(this.#union, inode, directory, name, entry);
  }

  unlink(parent: number, name: ByteString): number {
    const directory = this.#inode(parent);
    return directory === undefined ? -ESTALE : unlinkName(this.#union, directory, name);
  }

  rmdir(parent: number, name: ByteString): number {
    const directory = this.#inode(parent);
    return directory === undefined ? -ESTALE : rmdirName(this.#union, directory, name);
  }

  rename(parent: number, name: ByteString, newParent: number, newName: ByteString, flags: number): number {
    const from = this.#inode(parent);
    const to = this.#inode(newParent);
    if (from === undefined || to === undefined) return -ESTALE;
    return renameName(this.#union, from, name, to, newName, flags);
  }

  open(node: number, flags: number, opened: Opened): number {
    const inode = this.#inode(node);
    if (inode === undefined) return -ESTALE;
    this.#begin(opened);
    return inode.id === node ? openInode(this.#union, inode, flags, opened) : -ESTALE;
  }

  create(
    caller: Caller,
    parent: number,
    name: ByteString,
    mode: number,
    flags: number,
    entry: Entry,
    opened: Opened,
  ): number {
    const directory = this.#inode(parent);
    if (directory === undefined) return -ESTALE;
    this.#begin(opened);
    return createFile(this.#union, caller, directory, name, mode, flags, entry, opened);
  }

  tmpfile(caller: Caller, parent: number, mode: number, flags: number, entry: Entry, opened: Opened): number {
    const directory = this.#inode(parent);
    if (directory === undefined) return -ESTALE;
    this.#begin(opened);
    return createTemporary(this.#union, caller, directory, mode, flags, entry, opened);
  }

  get expectsSlowReads(): boolean {
    return this.#union.slowReads.expected;
  }

  readTook(milliseconds: number): void {
    this.#union.slowReads.took(milliseconds);
  }

  awaitData(node: number, handle: number, offset: FileOffset, size: number): number {
    const { slowLane, slowReads } = this.#union;
    const open = slowLane === undefined ? -ENOSYS : this.#reader(node, handle, false);
    // What keeps it from being read, reading says.
    if (slowLane === undefined || typeof open === 'number' || (open.flags & O_DIRECT) !== 0) return 0;
    return slowReads.await(slowLane, open.fd, offset, size);
  }

  read(node: number, handle: number, offset: FileOffset, size: number, address: number, buffered: boolean): number {
    const open = this.#reader(node, handle, !buffered);
    return typeof open === 'number' ? open : readData(this.#union, open, offset, size, address, buffered);
  }

  fileToRead(node: number, handle: number, buffered: boolean): number {
    const open = this.#reader(node, handle, !buffered);
    return typeof open === 'number' ? open : fileToRead(open, buffered);
  }

  write(node: number, handle: number, offset: FileOffset, size: number, address: number, flags: number): number {
    const open = this.#writer(node, handle, (flags & WRITE.buffered) === 0, (flags & WRITE.appends) !== 0);
    if (typeof open === 'number') return open;
    const written = writeData(this.#union, open, offset, size, address, flags);
    if (written >= 0) this.written(node, flags);
    return written;
  }

  fileToWrite(node: number, handle: number, flags: number): number {
    const isDirect = (flags & WRITE.buffered) === 0;
    const open = this.#writer(node, handle, isDirect, (flags & WRITE.appends) !== 0);
    if (typeof open === 'number') return open;
    // splice(2) refuses O_APPEND.
    return isDirect || (open.flags & (O_APPEND | O_DIRECT)) !== 0 ? -EINVAL : open.fd;
  }

  written(node: number, flags: number): void {
    const inode = (flags & WRITE.killPrivileges) === 0 ? undefined : this.#inode(node);
    if (inode !== undefined) clearPrivileges(this.#union, inode, undefined);
  }

  fsync(node: number, handle: number, dataOnly: boolean): number {
    // ENOSYS: the kernel takes it for success and does not ask again.
    if (!this.#union.sync) return -ENOSYS;
    // A file in a lower layer was not changed.
    if (handle === NO_HANDLE && this.#inode(node)?.isUpper === false) return 0;
    const open = this.#reader(node, handle, false);
    return typeof open === 'number' ? open : syncFile(this.#union, open, dataOnly);
  }

  release(_node: number, handle: number): void {
    const inode = this.#union.handles.close(handle);
    if (inode !== undefined) {
      if (inode.passing === 0) this.#union.backings.rest(inode);
      this.#union.inodes.release(inode);
    }
    this.#count();
  }

  fallocate(node: number, handle: number, mode: number, offset: FileOffset, length: FileOffset): number {
    // vfs_fallocate: what only sets space aside is writing at the end.
    const appends = (mode & ~FALLOC_FL_KEEP_SIZE) === 0;
    const open = this.#writer(node, handle, false, appends);
    if (typeof open === 'number') return open;
    const refused = refuseWrite(this.#union, open.inode, appends);
    return refused < 0 ? refused : fallocate(open.fd, mode, offset, length);
  }

  lseek(node: number, handle: number, offset: FileOffset, whence: number): FileOffset {
    const open = this.#reader(node, handle, false);
    return typeof open === 'number' ? open : lseek(open.fd, offset, whence);
  }

  copyFileRange(
    node: number,
    handle: number,
    offset: FileOffset,
    toNode: number,
    toHandle: number,
    toOffset: FileOffset,
    length: number,
  ): number {
    // Copied up first: what is read may be the same file.
    const to = this.#writer(toNode, toHandle, false, false);
    if (typeof to === 'number') return to;
    const from = this.#reader(node, handle, false, to);
    if (typeof from === 'number') return from;
    const refused = refuseCopy(this.#union, to.inode);
    return refused < 0 ? refused : copyFileRange(from.fd, offset, to.fd, toOffset, length);
  }

  ioctl(node: number, handle: number, request: number, address: number): number {
    const inode = this.#inode(node);
    if (inode === undefined) return -ESTALE;
    return controlInode(this.#union, inode, this.#union.handles.get(handle), request, address);
  }

  opendir(node: number, opened: Opened): number {
    const inode = this.#inode(node);
    if (inode === undefined) return -ESTALE;
    if (!inode.isDirectory) return -ENOTDIR;
    noteDirectoryAccess(this.#union, inode);
    opened.handle = this.#union.handles.open(inode, NO_FD, O_RDONLY, WAY.none);
    this.#begin(opened);
    return 0;
  }

  readdir(node: number, handle: number, offset: number, sink: DirectorySink): number {
    if (handle === NO_HANDLE) return this.#readUnopened(node, offset, sink);
    const open = this.#union.handles.get(handle);
    return open === undefined ? -EBADF : readEntries(this.#union, open, offset, sink);
  }

  #readUnopened(node: number, offset: number, sink: DirectorySink): number {
    const inode = this.#inode(node);
    if (inode === undefined) return -ESTALE;
    return inode.isDirectory ? readUnopened(this.#union, inode, offset, sink) : -ENOTDIR;
  }

  releasedir(node: number, handle: number): void {
    this.release(node, handle);
  }

  fsyncdir(node: number, _handle: number, dataOnly: boolean): number {
    if (!this.#union.sync) return -ENOSYS;
    const inode = this.#inode(node);
    if (inode === undefined) return -ESTALE;
    // A directory that is in lower layers only was not changed.
    if (inode.upper === undefined || inode.unlinked) return 0;
    const fd = openUpperDirectory(this.#union, inode);
    if (fd < 0) return fd;
    const synced = dataOnly ? fdatasync(fd) : fsync(fd);
    close(fd);
    return synced;
  }

  getxattr(node: number, name: ByteString, address: number, size: number): number {
    const inode = this.#inode(node);
    return inode === undefined ? -ESTALE : getInodeXattr(this.#union, inode, name, address, size);
  }

  listxattr(node: number, address: number, size: number, trusted: boolean): number {
    const inode = this.#inode(node);
    return inode === undefined ? -ESTALE : listInodeXattrs(this.#union, inode, address, size, trusted);
  }

  setxattr(node: number, name: ByteString, address: number, size: number, flags: number): number {
    const inode = this.#inode(node);
    if (inode === undefined) return -ESTALE;
    const set = setInodeXattr(this.#union, inode, name, address, size, flags);
    this.#tellOthers(inode);
    return set;
  }

  removexattr(node: number, name: ByteString): number {
    const inode = this.#inode(node);
    if (inode === undefined) return -ESTALE;
    const removed = removeInodeXattr(this.#union, inode, name);
    this.#tellOthers(inode);
    return removed;
  }

  statfs(_node: number, out: Memory): number {
    const layer = this.#union.layers[0];
    return layer === undefined ? -EIO : fstatfs(layer.root.fd, out);
  }

  syncfs(): number {
    const { upper, sync } = this.#union;
    if (upper === undefined || !sync) return 0;
    const fd = openat(upper.root.fd, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fd;
    const synced = syncfs(fd);
    close(fd);
    return synced;
  }

  #inode(node: number): Inode | undefined {
    return this.#union.inodes.get(node);
  }

  /** What holds of an open file that is not passed through. */
  #begin(opened: Opened): void {
    opened.keepCache = this.#union.isSoleWriter;
    opened.directIo = false;
    opened.backing = 0;
  }

  /** What to read a file through: the handle's descriptor, or, where the kernel has none, what is open of its inode. */
  #reader(node: number, handle: number, direct: boolean, keep?: OpenFile): OpenFile | number {
    const open = this.#union.handles.get(handle);
    if (open !== undefined && open.fd !== SHARED) return open;
    if (open === undefined && handle !== NO_HANDLE) return -EBADF;
    const inode = open?.inode ?? this.#inode(node);
    // A handle that asked for O_DIRECT has a descriptor of its own.
    return inode === undefined ? -ESTALE : readerOf(this.#union, inode, direct && open === undefined, keep);
  }

  #writer(node: number, handle: number, direct: boolean, appends: boolean): OpenFile | number {
    if (handle !== NO_HANDLE) return this.#union.handles.get(handle) ?? -EBADF;
    const inode = this.#inode(node);
    return inode === undefined ? -ESTALE : writerOf(this.#union, inode, direct, appends);
  }

  #make(
    caller: Caller,
    parent: number,
    name: ByteString,
    mode: number,
    rdev: number,
    target: ByteString,
    entry: Entry,
  ): number {
    const directory = this.#inode(parent);
    if (directory === undefined) return -ESTALE;
    return makeNode(this.#union, caller, directory, name, mode, rdev, target, entry);
  }

  #count(): void {
    const { counters, inodes, handles } = this.#union;
    counters[COUNTER.inodes] = inodes.count;
    counters[COUNTER.openHandles] = handles.count;
  }
}
