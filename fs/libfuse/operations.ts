import {
  type AttrChange,
  type Caller,
  CHANGE,
  type Entry,
  type FileSystem,
  NO_HANDLE,
  type Opened,
} from '../filesystem.ts';
import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { O_CREAT, O_DIRECT, O_EXCL } from '../sys/constants.ts';
import { EBADF } from '../sys/errno.ts';
import { copyBytes, Memory } from '../sys/memory.ts';
import { Times } from '../sys/metadata.ts';
import { FillerDirectory } from './directory.ts';
import { NodeReferences } from './node-references.ts';
import { OpenFiles } from './open-files.ts';
import { PathCache } from './path-cache.ts';
import { isPlaceholder, Placeholders } from './placeholders.ts';
import { type Request } from './request.ts';
import { putStat, putStatvfs, STAT_SIZE, STATFS_SIZE, STATVFS_SIZE } from './structures.ts';

/** chown(2): leave it as it is. */
const KEEP = 0xffffffff;

/**
 * open(2) flags that the filesystem is not told: the kernel has seen to the first two, and the buffers that data comes in
 * are not aligned as O_DIRECT needs them.
 */
const SETTLED = O_CREAT | O_EXCL | O_DIRECT;

/** How libfuse's operations are answered: by calls of the inode-based interface. Each answers a count or an errno. */
export class Operations {
  readonly #fs: FileSystem;
  readonly #references: NodeReferences;
  readonly #paths: PathCache;
  readonly #files: OpenFiles;
  // One table for each kind of handle: nobody promises that their numbers differ.
  readonly #directories: OpenFiles;
  readonly #placeholders: Placeholders;
  readonly #entry: Entry = { node: 0, generation: 0, attr: new Attr() };
  readonly #opened: Opened = { handle: NO_HANDLE, keepCache: false, directIo: false };
  readonly #change: AttrChange = { valid: 0, mode: 0, uid: 0, gid: 0, size: 0, times: new Times() };
  readonly #directory = new FillerDirectory(this.#entry);
  readonly #stat = new Memory(STAT_SIZE);
  readonly #statfs = new Memory(STATFS_SIZE);
  readonly #statvfs = new Memory(STATVFS_SIZE);
  readonly #end = new Memory(1);
  // fuse-native does not tell who asks: what is made belongs to us. The kernel has applied the umask by itself.
  readonly #caller: Caller = {
    uid: process.geteuid?.() ?? 0,
    gid: process.getegid?.() ?? 0,
    pid: process.pid,
    umask: 0,
  };

  constructor(fs: FileSystem) {
    this.#fs = fs;
    this.#references = new NodeReferences(fs);
    this.#paths = new PathCache(fs, this.#references, this.#entry);
    this.#files = new OpenFiles(this.#references);
    this.#directories = new OpenFiles(this.#references);
    this.#placeholders = new Placeholders(this.#references);
  }

  getattr(request: Request): number {
    const node = this.#node(request.path);
    return node < 0 ? node : this.#putAttr(request, node, NO_HANDLE);
  }

  fgetattr(request: Request): number {
    const { handle } = request;
    const node = this.#files.get(handle);
    return node === undefined ? this.getattr(request) : this.#putAttr(request, node, handle);
  }

  chmod(request: Request): number {
    this.#change.valid = CHANGE.mode;
    this.#change.mode = request.mode;
    return this.#setattr(request, NO_HANDLE);
  }

  chown(request: Request): number {
    const { uid, gid } = request;
    this.#change.valid = (uid === KEEP ? 0 : CHANGE.uid) | (gid === KEEP ? 0 : CHANGE.gid);
    this.#change.uid = uid;
    this.#change.gid = gid;
    return this.#setattr(request, NO_HANDLE);
  }

  truncate(request: Request): number {
    this.#change.valid = CHANGE.size;
    this.#change.size = request.offset;
    return this.#setattr(request, NO_HANDLE);
  }

  ftruncate(request: Request): number {
    this.#change.valid = CHANGE.size;
    this.#change.size = request.offset;
    return this.#setattr(request, request.handle);
  }

  utimens(request: Request): number {
    const { times } = this.#change;
    this.#change.valid = CHANGE.times;
    const { atime, mtime } = request;
    const atimeSeconds = Math.floor(atime / 1000);
    const mtimeSeconds = Math.floor(mtime / 1000);
    times.setAtime(...words(atimeSeconds), (atime - atimeSeconds * 1000) * 1e6);
    times.setMtime(...words(mtimeSeconds), (mtime - mtimeSeconds * 1000) * 1e6);
    return this.#setattr(request, NO_HANDLE);
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
    const { parent, name } = this.#paths.place(path);
    if (parent < 0) return parent;
    return this.#made(path, this.#fs.mknod(this.#caller, parent, name, mode, device, this.#entry));
  }

  mkdir(request: Request): number {
    const { path, mode } = request;
    const { parent, name } = this.#paths.place(path);
    if (parent < 0) return parent;
    return this.#made(path, this.#fs.mkdir(this.#caller, parent, name, mode, this.#entry));
  }

  symlink(request: Request): number {
    const { path: target, destination: path } = request;
    const { parent, name } = this.#paths.place(path);
    if (parent < 0) return parent;
    return this.#made(path, this.#fs.symlink(this.#caller, parent, name, target, this.#entry));
  }

  link(request: Request): number {
    const { destination: path } = request;
    const node = this.#node(request.path);
    if (node < 0) return node;
    const { parent, name } = this.#paths.place(path);
    return parent < 0 ? parent : this.#made(path, this.#fs.link(node, parent, name, this.#entry));
  }

  unlink(request: Request): number {
    const { path } = request;
    // Its file is closed; the name went before.
    if (this.#placeholders.remove(path)) return 0;
    const { parent, name } = this.#paths.place(path);
    if (parent < 0) return parent;
    return this.#removed(path, this.#fs.unlink(parent, name));
  }

  rmdir(request: Request): number {
    const { path } = request;
    const { parent, name } = this.#paths.place(path);
    if (parent < 0) return parent;
    return this.#removed(path, this.#fs.rmdir(parent, name));
  }

  rename(request: Request): number {
    const { path, destination } = request;
    const node = this.#node(path);
    if (node < 0) return node;
    if (isPlaceholder(destination) && this.#files.isOpen(node)) return this.#hide(node, path, destination);
    const from = this.#paths.place(path);
    const to = this.#paths.place(destination);
    if (from.parent < 0) return from.parent;
    if (to.parent < 0) return to.parent;
    const status = this.#fs.rename(from.parent, from.name, to.parent, to.name, 0);
    if (status === 0) this.#paths.drop(path);
    return this.#removed(destination, status);
  }

  open(request: Request): number {
    const node = this.#node(request.path);
    if (node < 0) return node;
    const status = this.#fs.open(node, request.openFlags & ~SETTLED, this.#opened);
    return status < 0 ? status : this.#openedFile(request, node);
  }

  create(request: Request): number {
    const { path, mode } = request;
    const { parent, name } = this.#paths.place(path);
    if (parent < 0) return parent;
    const flags = request.openFlags & ~SETTLED;
    const status = this.#fs.create(this.#caller, parent, name, mode, flags, this.#entry, this.#opened);
    if (status < 0) return status;
    this.#paths.remember(path, this.#entry);
    return this.#openedFile(request, this.#entry.node);
  }

  read(request: Request): number {
    const { handle } = request;
    const node = this.#files.get(handle);
    return node === undefined ? -EBADF : this.#fs.read(node, handle, request.offset, request.length, request.data);
  }

  write(request: Request): number {
    const { handle } = request;
    const node = this.#files.get(handle);
    if (node === undefined) return -EBADF;
    // Without FUSE_HANDLE_KILLPRIV, the kernel clears setuid, setgid and capabilities by requests of their own.
    return this.#fs.write(node, handle, request.offset, request.length, request.data, 0);
  }

  fsync(request: Request): number {
    const { handle } = request;
    const node = this.#files.get(handle);
    return node === undefined ? -EBADF : this.#fs.fsync(node, handle, request.mode !== 0);
  }

  release(request: Request): number {
    const { handle } = request;
    const node = this.#files.get(handle);
    if (node === undefined) return -EBADF;
    this.#fs.release(node, handle);
    this.#files.remove(handle);
    return 0;
  }

  opendir(request: Request): number {
    const node = this.#node(request.path);
    if (node < 0) return node;
    const status = this.#fs.opendir(node, this.#opened);
    if (status < 0) return status;
    this.#directories.add(this.#opened.handle, node);
    request.handle = this.#opened.handle;
    return 0;
  }

  readdir(request: Request): number {
    const { handle } = request;
    const node = this.#directories.get(handle);
    if (node === undefined) return -EBADF;
    this.#directory.begin(request);
    return this.#fs.readdir(node, handle, request.offset, this.#directory);
  }

  fsyncdir(request: Request): number {
    const { handle } = request;
    const node = this.#directories.get(handle);
    return node === undefined ? -EBADF : this.#fs.fsyncdir(node, handle, request.mode !== 0);
  }

  releasedir(request: Request): number {
    const { handle } = request;
    const node = this.#directories.get(handle);
    if (node === undefined) return -EBADF;
    this.#fs.releasedir(node, handle);
    this.#directories.remove(handle);
    return 0;
  }

  getxattr(request: Request): number {
    const node = this.#node(request.path);
    return node < 0 ? node : this.#fs.getxattr(node, request.name, request.value, request.size);
  }

  listxattr(request: Request): number {
    const node = this.#node(request.path);
    return node < 0 ? node : this.#fs.listxattr(node, request.list, request.size);
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
    return this.#placeholders.find(path) ?? this.#paths.resolve(path);
  }

  #putAttr(request: Request, node: number, handle: number): number {
    const { attr } = this.#entry;
    const status = this.#fs.getattr(node, handle, attr);
    if (status < 0) return status;
    // libfuse takes a placeholder off the links that it is told of, and the union does not count it.
    if (this.#placeholders.find(request.path) !== undefined) attr.nlink += 1;
    putStat(this.#stat, attr);
    copyBytes(request.stat, this.#stat.address, STAT_SIZE);
    return 0;
  }

  /** Applies `#change`. */
  #setattr(request: Request, handle: number): number {
    const node = this.#files.get(handle) ?? this.#node(request.path);
    return node < 0 ? node : this.#fs.setattr(this.#caller, node, handle, this.#change, this.#entry.attr);
  }

  /** `#entry` was filled for `path` where `status` is not an error. */
  #made(path: ByteString, status: number): number {
    if (status === 0) this.#paths.remember(path, this.#entry);
    return status;
  }

  #removed(path: ByteString, status: number): number {
    if (status === 0) this.#paths.drop(path);
    return status;
  }

  #openedFile(request: Request, node: number): number {
    const { handle, directIo } = this.#opened;
    this.#files.add(handle, node);
    request.handle = handle;
    // The pages of a file are dropped at every open (no keep_cache): with hard links, they are another inode's too.
    if (directIo) request.setDirectIo();
    return 0;
  }

  /** libfuse removes an open file by renaming it: it is removed here, and the new name stands for it. */
  #hide(node: number, path: ByteString, placeholder: ByteString): number {
    const { parent, name } = this.#paths.place(path);
    if (parent < 0) return parent;
    const status = this.#fs.unlink(parent, name);
    if (status < 0) return status;
    this.#placeholders.add(placeholder, node);
    this.#paths.drop(path);
    return 0;
  }
}

/** Seconds as two words of 32 bits. */
function words(seconds: number): [low: number, high: number] {
  return [seconds | 0, Math.floor(seconds / 0x100000000)];
}
