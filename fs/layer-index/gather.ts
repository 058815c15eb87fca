import { crc32 } from 'node:zlib';
import { Attr, STATX } from '../sys/attr.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import {
  AT_FDCWD,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
} from '../sys/constants.ts';
import { readDirectory } from '../sys/directory.ts';
import { check, EBUSY, ENOENT, EXDEV, SystemError } from '../sys/errno.ts';
import { close, fstat, fsync, openat, openat2, pwrite, readlinkat, renameat2, statat, unlinkat } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import { SELF, listxattr } from '../sys/xattr.ts';
import { hasDotForm } from '../layer-format.ts';
import { idsOf, indexPath } from './file.ts';
import { HAS_DOT_NAMES, HAS_XATTRS, HEADER, MAGIC, RECORD, STAT_SIZE, VERSION } from './layer-index.ts';

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/** A directory that is still to be read. */
interface Pending {
  readonly place: number;
  readonly path: ByteString;
}

const FIRST_CAPACITY = 1 << 14;

/** Gathers the records of a layer, directory by directory. */
class IndexWriter {
  readonly #root: number;
  readonly #dev: number;
  #count = 0;
  #records = Buffer.alloc(FIRST_CAPACITY);
  readonly #names: ByteString[] = [];
  readonly #targets: ByteString[] = [];
  #nameBytes = 0;
  #targetBytes = 0;
  readonly #attr = new Attr();
  readonly #target = new Memory(4096);

  constructor(root: number) {
    this.#root = root;
    check(fstat(root, this.#attr), 'look at the layer');
    this.#dev = this.#attr.dev;
  }

  gather(): Buffer {
    const place = this.#add('', listxattr(this.#root, SELF, 0, 0) !== 0);
    const pending: Pending[] = [{ place, path: '.' }];
    for (const directory of pending) this.#read(directory, pending);
    return this.#assemble();
  }

  /** Adds a record of the file whose attributes are at hand, and answers its place. */
  #add(name: ByteString, hasXattrs: boolean): number {
    const place = this.#count++;
    const at = place * RECORD.sizeof;
    if (at + RECORD.sizeof > this.#records.length) this.#grow();
    this.#records.set(this.#attr.memory.bytes.subarray(0, STAT_SIZE), at);
    this.#records.writeUInt32LE(this.#nameBytes, at + RECORD.name);
    this.#records.writeUInt16LE(name.length, at + RECORD.nameLength);
    if (hasXattrs) this.#addFlag(place, HAS_XATTRS);
    this.#nameBytes += name.length;
    this.#names.push(name);
    return place;
  }

  #grow(): void {
    const former = this.#records;
    this.#records = Buffer.alloc(former.length * 2);
    this.#records.set(former);
  }

  #addFlag(place: number, flag: number): void {
    const at = place * RECORD.sizeof + RECORD.flags;
    this.#records.writeUInt16LE(this.#records.readUInt16LE(at) | flag, at);
  }

  /** Says where the children of a directory are, or the target of a symlink. */
  #setExtent(place: number, first: number, length: number): void {
    this.#records.writeUInt32LE(first, place * RECORD.sizeof + RECORD.first);
    this.#records.writeUInt32LE(length, place * RECORD.sizeof + RECORD.length);
  }

  #read({ place, path }: Pending, pending: Pending[]): void {
    const attempt = `index ${toText(path)}`;
    const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
    const fd = check(openat2(this.#root, path, DIRECTORY, 0, resolve), attempt);
    try {
      const names: ByteString[] = [];
      check(
        readDirectory(fd, (name) => names.push(name)),
        attempt,
      );
      names.sort((left, right) => (left < right ? -1 : 1));
      this.#setExtent(place, this.#count, names.length);
      if (names.some(hasDotForm)) this.#addFlag(place, HAS_DOT_NAMES);
      for (const name of names) this.#addChild(fd, name, `${path}/${name}`, pending);
    } finally {
      close(fd);
    }
  }

  #addChild(fd: number, name: ByteString, path: ByteString, pending: Pending[]): void {
    const attempt = `index ${toText(path)}`;
    check(statat(fd, name, this.#attr), attempt);
    // What is mounted inside has inode numbers of its own, and need not be there next time.
    if (this.#attr.dev !== this.#dev) throw new SystemError(attempt, -EXDEV);
    const place = this.#add(name, listxattr(fd, name, 0, 0) !== 0);
    const type = this.#attr.mode & S_IFMT;
    if (type === S_IFDIR) pending.push({ place, path });
    if (type !== S_IFLNK) return;
    const length = check(readlinkat(fd, name, this.#target.address, this.#target.size), attempt);
    this.#setExtent(place, this.#targetBytes, length);
    this.#targets.push(this.#target.bytes.toString('latin1', 0, length));
    this.#targetBytes += length;
  }

  #assemble(): Buffer {
    const records = this.#records.subarray(0, this.#count * RECORD.sizeof);
    const texts = Buffer.from(this.#names.join('') + this.#targets.join(''), 'latin1');
    const content = Buffer.concat([Buffer.alloc(HEADER.sizeof), records, texts]);
    content.write(MAGIC, 'latin1');
    content.writeUInt32LE(VERSION, HEADER.version);
    content.writeUInt32LE(this.#count, HEADER.count);
    content.writeUInt32LE(this.#nameBytes, HEADER.names);
    content.writeUInt32LE(this.#targetBytes, HEADER.targets);
    content.writeUInt32LE(idsOf(), HEADER.ids);
    records.copy(content, HEADER.ino, STATX.ino, STATX.ino + 8);
    setChangeTime(content, records);
    return content;
  }
}

/** Enters the time at which the layer's root was changed last, which a rename sets. */
function setChangeTime(content: Buffer, stat: Buffer): void {
  for (const at of [HEADER.ctimeSec, HEADER.sizeof + STATX.ctimeSec]) {
    stat.copy(content, at, STATX.ctimeSec, STATX.ctimeSec + 8);
  }
  for (const at of [HEADER.ctimeNsec, HEADER.sizeof + STATX.ctimeNsec]) {
    stat.copy(content, at, STATX.ctimeNsec, STATX.ctimeNsec + 4);
  }
  content.writeUInt32LE(crc32(content.subarray(HEADER.sizeof)), HEADER.crc);
}

/** What the index of a layer, an open directory, holds. Throws `SystemError` where it cannot be read whole. */
export function gatherIndex(root: number): Buffer {
  return new IndexWriter(root).gather();
}

/** Makes an index that was gathered before the layer was renamed fit to be kept beside it. Throws `SystemError`. */
export function settleIndex(content: Uint8Array, root: number): void {
  const attr = new Attr();
  check(fstat(root, attr), 'look at the layer');
  setChangeTime(Buffer.from(content.buffer, content.byteOffset, content.length), attr.memory.bytes);
}

/** Calls `use` with a layer's directory, open. Throws `SystemError` where it cannot be opened. */
export function withLayer<T>(layer: ByteString, use: (root: number) => T): T {
  const flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  const root = check(openat(AT_FDCWD, layer, flags), `index layer ${toText(layer)}`);
  try {
    return use(root);
  } finally {
    close(root);
  }
}

/**
 * Writes the index of a layer, beside it, in the place of one that is there. From then on, until it is written again or
 * removed, the layer must not change. Throws `SystemError`, and changes nothing, where that fails.
 */
export function writeLayerIndex(layer: ByteString): void {
  writeWhole(indexPath(layer), withLayer(layer, gatherIndex), `index layer ${toText(layer)}`);
}

function writeWhole(path: ByteString, content: Buffer, attempt: string): void {
  const temporary = `${path}.${process.pid}`;
  const gone = unlinkat(AT_FDCWD, temporary);
  if (gone < 0 && gone !== -ENOENT) check(gone, attempt);
  const memory = new Memory(content.length);
  content.copy(memory.bytes);
  const fd = check(openat(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600), attempt);
  let status = 0;
  for (let at = 0; at < memory.size && status >= 0; at += status) {
    status = pwrite(fd, memory.address + at, memory.size - at, at);
    if (status === 0) status = -EBUSY;
  }
  if (status >= 0) status = fsync(fd);
  close(fd);
  if (status >= 0) status = renameat2(AT_FDCWD, temporary, AT_FDCWD, path);
  if (status < 0) unlinkat(AT_FDCWD, temporary);
  check(status, attempt);
}
