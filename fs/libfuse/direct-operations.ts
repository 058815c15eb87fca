import { type AttrChange, type Caller, CHANGE, type FileSystem, NO_HANDLE, WRITE } from '../filesystem.ts';
import { EBADF, EINVAL } from '../sys/errno.ts';
import { type FileOffset } from '../sys/file-offset.ts';
import { readCString } from '../sys/foreign-memory.ts';
import { copyBytes, Memory } from '../sys/memory.ts';
import { Times } from '../sys/metadata.ts';
import { FillerDirectory } from './directory.ts';
import { handleAt, isFromCacheAt } from './file-info.ts';
import { putStat, STAT_SIZE } from './structures.ts';
import { type Tables } from './tables.ts';

/** Of libfuse's flags of an ioctl: it is on a directory. */
const IOCTL_DIRECTORY = 1 << 4;

/** FS_IOC_GETFLAGS and FS_IOC_SETFLAGS: their numbers say 8 bytes, and they pass 4. */
const FLAGS_REQUESTS = [0x80086601, 0x40086602];
const FLAGS_SIZE = 4;

/** `struct timespec[2]`. */
const TIMES_SIZE = 32;

/** What O_DIRECT asks of a buffer's address; more than any disk's blocks do. */
const ALIGNMENT = 4096;

/**
 * Operations that libfuse calls by itself, and not through fuse-native: that one has no handler for them, or cuts what it
 * hands on, or cannot take a request without a path, which is one on an open file whose directory is gone. The parameters
 * are C's; a path of 0 is none.
 */
export class DirectOperations {
  readonly #fs: FileSystem;
  readonly #tables: Tables;
  readonly #directory: FillerDirectory;
  readonly #change: AttrChange = { valid: 0, mode: 0, uid: 0, gid: 0, size: 0, times: new Times() };
  readonly #stat = new Memory(STAT_SIZE);
  #bounce = new Memory(ALIGNMENT);
  readonly #caller: Caller = { uid: 0, gid: 0, pid: 0, umask: 0 };

  constructor(fs: FileSystem, tables: Tables) {
    this.#fs = fs;
    this.#tables = tables;
    this.#directory = new FillerDirectory(tables.entry);
  }

  fgetattr(path: number, stat: number, info: number): number {
    const handle = handleAt(info);
    const node = this.#tables.files.get(handle);
    if (node === undefined) return -EBADF;
    const { attr } = this.#tables.entry;
    const status = this.#fs.getattr(node, handle, attr);
    if (status < 0) return status;
    // libfuse takes a placeholder off the links that it is told of, and the union does not count it.
    if (this.#isHidden(path, node)) attr.nlink += 1;
    putStat(this.#stat, attr);
    copyBytes(stat, this.#stat.address, STAT_SIZE);
    return 0;
  }

  ftruncate(_path: number, size: FileOffset, info: number): number {
    const handle = handleAt(info);
    const node = this.#tables.files.get(handle);
    if (node === undefined) return -EBADF;
    this.#change.valid = CHANGE.size;
    this.#change.size = size;
    return this.#fs.setattr(this.#caller, node, handle, this.#change, this.#tables.entry.attr);
  }

  utimens(path: number, times: number): number {
    const node = this.#tables.node(readCString(path));
    if (node < 0) return node;
    this.#change.valid = CHANGE.times;
    copyBytes(this.#change.times.memory.address, times, TIMES_SIZE);
    return this.#fs.setattr(this.#caller, node, NO_HANDLE, this.#change, this.#tables.entry.attr);
  }

  read(_path: number, data: number, size: number, offset: FileOffset, info: number): number {
    const handle = handleAt(info);
    const node = this.#tables.files.get(handle);
    if (node === undefined) return -EBADF;
    if (!this.#tables.unbuffered.has(handle)) return this.#fs.read(node, handle, offset, size, data, false);
    const aligned = this.#alignedBuffer(size);
    const length = this.#fs.read(node, handle, offset, size, aligned, false);
    if (length > 0) copyBytes(data, aligned, length);
    return length;
  }

  write(_path: number, data: number, size: number, offset: FileOffset, info: number): number {
    const handle = handleAt(info);
    const node = this.#tables.files.get(handle);
    if (node === undefined) return -EBADF;
    // Without FUSE_HANDLE_KILLPRIV, the kernel clears setuid, setgid and capabilities by requests of their own.
    const flags = isFromCacheAt(info) ? WRITE.buffered : 0;
    if (!this.#tables.unbuffered.has(handle)) return this.#fs.write(node, handle, offset, size, data, flags);
    const aligned = this.#alignedBuffer(size);
    copyBytes(aligned, data, size);
    return this.#fs.write(node, handle, offset, size, aligned, flags);
  }

  fallocate(_path: number, mode: number, offset: FileOffset, length: FileOffset, info: number): number {
    const handle = handleAt(info);
    const node = this.#tables.files.get(handle);
    if (node === undefined) return -EBADF;
    return this.#fs.fallocate(node, handle, mode, offset, length);
  }

  fsync(_path: number, dataOnly: number, info: number): number {
    const handle = handleAt(info);
    const node = this.#tables.files.get(handle);
    return node === undefined ? -EBADF : this.#fs.fsync(node, handle, dataOnly !== 0);
  }

  ioctl(_path: number, command: number, _argument: number, info: number, flags: number, data: number): number {
    const isDirectory = (flags & IOCTL_DIRECTORY) !== 0;
    const handle = handleAt(info);
    const node = (isDirectory ? this.#tables.directories : this.#tables.files).get(handle);
    if (node === undefined) return -EBADF;
    const request = command >>> 0;
    if (data === 0) return -EINVAL;
    const size = FLAGS_REQUESTS.includes(request) ? FLAGS_SIZE : (request >>> 16) & 0x3fff;
    return this.#fs.ioctl(node, handle, request, data, size, size);
  }

  release(path: number, info: number): number {
    const handle = handleAt(info);
    const { files, placeholders } = this.#tables;
    const node = files.get(handle);
    if (node === undefined) return -EBADF;
    this.#fs.release(node, handle);
    // libfuse removes a placeholder whose path it still knows.
    if (path === 0 && files.count(node) === 1) placeholders.removeOf(node);
    files.remove(handle);
    this.#tables.unbuffered.delete(handle);
    return 0;
  }

  readdir(_path: number, buffer: number, filler: number, offset: FileOffset, info: number): number {
    const handle = handleAt(info);
    const node = this.#tables.directories.get(handle);
    if (node === undefined) return -EBADF;
    this.#directory.begin(filler, buffer);
    return this.#fs.readdir(node, handle, Number(offset), this.#directory);
  }

  fsyncdir(_path: number, dataOnly: number, info: number): number {
    const handle = handleAt(info);
    const node = this.#tables.directories.get(handle);
    return node === undefined ? -EBADF : this.#fs.fsyncdir(node, handle, dataOnly !== 0);
  }

  releasedir(_path: number, info: number): number {
    const handle = handleAt(info);
    const { directories } = this.#tables;
    const node = directories.get(handle);
    if (node === undefined) return -EBADF;
    this.#fs.releasedir(node, handle);
    directories.remove(handle);
    return 0;
  }

  /** libfuse's own buffers are not aligned as O_DIRECT needs them. */
  #alignedBuffer(size: number): number {
    if (this.#bounce.size < size + ALIGNMENT) this.#bounce = new Memory(size + ALIGNMENT);
    return Math.ceil(this.#bounce.address / ALIGNMENT) * ALIGNMENT;
  }

  #isHidden(path: number, node: number): boolean {
    const { placeholders } = this.#tables;
    return path === 0 ? placeholders.has(node) : placeholders.find(readCString(path)) !== undefined;
  }
}
