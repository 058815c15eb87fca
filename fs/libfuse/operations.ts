import { type AttrChange, type Caller, CHANGE, type FileSystem, NO_HANDLE } from '../filesystem.ts';
import { type ByteString } from '../sys/bytes.ts';
import { O_CREAT, O_DIRECT, O_EXCL } from '../sys/constants.ts';
import { copyBytes, Memory } from '../sys/memory.ts';
import { Times } from '../sys/metadata.ts';
import { isHiding } from './placeholders.ts';
import { type Request } from './request.ts';
import { putStat, putStatvfs, STAT_SIZE, STATFS_SIZE, STATVFS_SIZE } from './structures.ts';
import { type Tables } from './tables.ts';

/** chown(2): leave it as it is. */
const KEEP = 0xffffffff;

/**
 * How libfuse's operations on paths are answered that come through fuse-native: by calls of the inode-based interface.
 * Each answers a count or an errno, or DEFERRED.
 */
export class Operations {
  readonly #fs: FileSystem;
  readonly #tables: Tables;
  readonly #hiddenCounter: () => number;
  readonly #change: AttrChange = { valid: 0, mode: 0, uid: 0, gid: 0, size: 0, times: new Times() };
  readonly #stat = new Memory(STAT_SIZE);
  readonly #statfs = new Memory(STATFS_SIZE);
  readonly #statvfs = new Memory(STATVFS_SIZE);
  readonly #end = new Memory(1);
  readonly #caller: Caller = { uid: 0, gid: 0, pid: 0, umask: 0 };

  /** @param hiddenCounter libfuse's counter of open files that it has removed. */
  constructor(fs: FileSystem, tables: Tables, hiddenCounter: () => number) {
    this.#fs = fs;
    this.#tables = tables;
    this.#hiddenCounter = hiddenCounter;
  }

  getattr(request: Request): number {
    const node = this.#node(request.path);
    return node < 0 ? node : this.#putAttr(request, node);
  }

  chmod(request: Request): number {
    this.#change.valid = CHANGE.mode;
    this.#change.mode = request.mode;
    return this.#setattr(request);
  }

  chown(request: Request): number {
    const { uid, gid } = request;
    this.#change.valid = (uid === KEEP ? 0 : CHANGE.uid) | (gid === KEEP ? 0 : CHANGE.gid);
    this.#change.uid = uid;
    this.#change.gid = gid;
    return this.#setattr(request);
  }

  truncate(request: Request): number {
    this.#change.valid = CHANGE.size;
    this.#change.size = request.offset;
    return this.#setattr(request);
  }

  readlink(request: Request): number {
    const node = this.#node(request.path);
    if (node < 0) return node;
    const { linkname, length } = request;
    const read = this.#fs.readlink(node, linkname, length - 1);
    if (read < 0) return read;
    copyBytes(linkname + read, this.#end.address, 1);
    return 0;
  }

  mknod(request: Request): number {
    const { path, mode, device } = request;
    const { parent, name } = this.#tables.paths.place(path);
    if (parent < 0) return parent;
    request.readCaller(this.#caller);
    return this.#made(path, this.#fs.mknod(this.#caller, parent, name, mode, device, this.#tables.entry));
  }

  mkdir(request: Request): number {
    const { path, mode } = request;
    const { parent, name } = this.#tables.paths.place(path);
    if (parent < 0) return parent;
    request.readCaller(this.#caller);
    return this.#made(path, this.#fs.mkdir(this.#caller, parent, name, mode, this.#tables.entry));
  }

  symlink(request: Request): number {
    const { path: target, destination: path } = request;
    const { parent, name } = this.#tables.paths.place(path);
    if (parent < 0) return parent;
    request.readCaller(this.#caller);
    return this.#made(path, this.#fs.symlink(this.#caller, parent, name, target, this.#tables.entry));
  }

  link(request: Request): number {
    const { destination: path } = request;
    const node = this.#node(request.path);
    if (node < 0) return node;
    const { parent, name } = this.#tables.paths.place(path);
    return parent < 0 ? parent : this.#made(path, this.#fs.link(node, parent, name, this.#tables.entry));
  }

  unlink(request: Request): number {
    const { path } = request;
    // Its file is closed; the name went before.
    if (this.#tables.placeholders.remove(path)) return 0;
    const { parent, name } = this.#tables.paths.place(path);
    if (parent < 0) return parent;
    return this.#removed(path, this.#fs.unlink(parent, name));
  }

  rmdir(request: Request): number {
    const { path } = request;
    const { parent, name } = this.#tables.paths.place(path);
    if (parent < 0) return parent;
    return this.#removed(path, this.#fs.rmdir(parent, name));
  }

  rename(request: Request): number {
    const { path, destination } = request;
    const node = this.#node(path);
    if (node < 0) return node;
    if (this.#tables.files.isOpen(node) && isHiding(path, destination, this.#hiddenCounter())) {
      return this.#hide(node, path, destination);
    }
    const from = this.#tables.paths.place(path);
    const to = this.#tables.paths.place(destination);
    if (from.parent < 0) return from.parent;
    if (to.parent < 0) return to.parent;
    const status = this.#fs.rename(from.parent, from.name, to.parent, to.name, 0);
    if (status === 0) this.#tables.paths.drop(path);
    return this.#removed(destination, status);
  }

  open(request: Request): number {
    const node = this.#node(request.path);
    if (node < 0) return node;
    const status = this.#fs.open(node, request.openFlags & ~(O_CREAT | O_EXCL), this.#tables.opened);
    return status < 0 ? status : this.#openedFile(request, node);
  }

  create(request: Request): number {
    const { path, mode } = request;
    const { parent, name } = this.#tables.paths.place(path);
    if (parent < 0) return parent;
    request.readCaller(this.#caller);
    const flags = request.openFlags & ~(O_CREAT | O_EXCL);
    const status = this.#fs.create(this.#caller, parent, name, mode, flags, this.#tables.entry, this.#tables.opened);
    if (status < 0) return status;
    this.#tables.paths.remember(path, this.#tables.entry);
    return this.#openedFile(request, this.#tables.entry.node);
  }

  opendir(request: Request): number {
    const node = this.#node(request.path);
    if (node < 0) return node;
    const status = this.#fs.opendir(node, this.#tables.opened);
    if (status < 0) return status;
    this.#tables.directories.add(this.#tables.opened.handle, node);
    request.handle = this.#tables.opened.handle;
    return 0;
  }

  getxattr(request: Request): number {
    const node = this.#node(request.path);
    return node < 0 ? node : this.#fs.getxattr(node, request.name, request.value, request.size);
  }

  listxattr(request: Request): number {
    const node = this.#node(request.path);
    // Who asks is not known here: root's view for all.
    return node < 0 ? node : this.#fs.listxattr(node, request.list, request.size, true);
  }

  setxattr(request: Request): number {
    const node = this.#node(request.path);
    if (node < 0) return node;
    return this.#fs.setxattr(node, request.name, request.value, request.size, request.xattrFlags);
  }

  removexattr(request: Request): number {
    const node = this.#node(request.path);
    return node < 0 ? node : this.#fs.removexattr(node, request.name);
  }

  statfs(request: Request): number {
    const node = this.#node(request.path);
    if (node < 0) return node;
    const status = this.#fs.statfs(node, this.#statfs);
    if (status < 0) return status;
    putStatvfs(this.#statvfs, this.#statfs);
    copyBytes(request.statvfs, this.#statvfs.address, STATVFS_SIZE);
    return 0;
  }

  #node(path: ByteString): number {
    return this.#tables.node(path);
  }

  #putAttr(request: Request, node: number): number {
    const { attr } = this.#tables.entry;
    const status = this.#fs.getattr(node, NO_HANDLE, attr);
    if (status < 0) return status;
    // libfuse takes a placeholder off the links that it is told of, and the union does not count it.
    if (this.#tables.placeholders.find(request.path) !== undefined) attr.nlink += 1;
    putStat(this.#stat, attr);
    copyBytes(request.stat, this.#stat.address, STAT_SIZE);
    return 0;
  }

  /** Applies `#change`. */
  #setattr(request: Request): number {
    const node = this.#node(request.path);
    if (node < 0) return node;
    request.readCaller(this.#caller);
    return this.#fs.setattr(this.#caller, node, NO_HANDLE, this.#change, this.#tables.entry.attr);
  }

  /** `#entry` was filled for `path` where `status` is not an error. */
  #made(path: ByteString, status: number): number {
    if (status === 0) this.#tables.paths.remember(path, this.#tables.entry);
    return status;
  }

  #removed(path: ByteString, status: number): number {
    if (status === 0) this.#tables.paths.drop(path);
    return status;
  }

  #openedFile(request: Request, node: number): number {
    const { handle, directIo } = this.#tables.opened;
    this.#tables.files.add(handle, node);
    if ((request.openFlags & O_DIRECT) !== 0) this.#tables.unbuffered.add(handle);
    request.handle = handle;
    // The pages of a file are dropped at every open (no keep_cache): with hard links, they are another inode's too.
    if (directIo) request.setDirectIo();
    return 0;
  }

  /** libfuse removes an open file by renaming it: it is removed here, and the new name stands for it. */
  #hide(node: number, path: ByteString, placeholder: ByteString): number {
    const { parent, name } = this.#tables.paths.place(path);
    if (parent < 0) return parent;
    const status = this.#fs.unlink(parent, name);
    if (status < 0) return status;
    this.#tables.placeholders.add(placeholder, node);
    this.#tables.paths.drop(path);
    return 0;
  }
}
