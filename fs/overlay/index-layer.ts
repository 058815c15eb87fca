import { readFileSync } from 'node:fs';
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
import { HAS_DOT_NAMES, HAS_XATTRS, HEADER, INDEX_SUFFIX, MAGIC, RECORD, STAT_SIZE, VERSION } from './layer-index.ts';

const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
const RESOLVE_NO_XDEV = 0x01;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;

/** Stands for the id maps of our user namespace, in which owners are told. */
export function idsOf(): number {
  const maps = ['uid_map', 'gid_map'].map((map) => readFileSync(`/proc/self/${map}`, 'latin1'));
  return crc32(maps.join('\n'));
}

/** Where the index of a layer is. */
export function indexPath(layer: ByteString): ByteString {
  return layer.replace(/\/+$/, '') + INDEX_SUFFIX;
}

/** A directory that is still to be read. */
interface Pending {
  readonly record: Buffer;
  readonly path: ByteString;
}

/** Gathers the records of a layer, directory by directory. */
class IndexWriter {
  readonly #root: number;
  readonly #dev: number;
  readonly #records: Buffer[] = [];
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
    const record = this.#add('', listxattr(this.#root, SELF, 0, 0) !== 0);
    const pending: Pending[] = [{ record, path: '.' }];
    for (const directory of pending) this.#read(directory, pending);
    return this.#assemble();
  }

  /** Adds a record of the file whose attributes are at hand. */
  #add(name: ByteString, hasXattrs: boolean): Buffer {
    const record = Buffer.alloc(RECORD.sizeof);
    record.set(this.#attr.memory.bytes.subarray(0, STAT_SIZE));
    record.writeUInt32LE(this.#nameBytes, RECORD.name);
    record.writeUInt16LE(name.length, RECORD.nameLength);
    record.writeUInt16LE(hasXattrs ? HAS_XATTRS : 0, RECORD.flags);
    this.#nameBytes += name.length;
    this.#names.push(name);
    this.#records.push(record);
    return record;
  }

  #read({ record, path }: Pending, pending: Pending[]): void {
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
      record.writeUInt32LE(this.#records.length, RECORD.first);
      record.writeUInt32LE(names.length, RECORD.length);
      if (names.some(hasDotForm)) record.writeUInt16LE(record.readUInt16LE(RECORD.flags) | HAS_DOT_NAMES, RECORD.flags);
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
    const record = this.#add(name, listxattr(fd, name, 0, 0) !== 0);
    const type = this.#attr.mode & S_IFMT;
    if (type === S_IFDIR) pending.push({ record, path });
    if (type !== S_IFLNK) return;
    const length = check(readlinkat(fd, name, this.#target.address, this.#target.size), attempt);
    record.writeUInt32LE(this.#targetBytes, RECORD.first);
    record.writeUInt32LE(length, RECORD.length);
    this.#targets.push(this.#target.bytes.toString('latin1', 0, length));
    this.#targetBytes += length;
  }

  #assemble(): Buffer {
    const header = Buffer.alloc(HEADER.sizeof);
    const texts = Buffer.from(this.#names.join('') + this.#targets.join(''), 'latin1');
    const body = Buffer.concat([...this.#records, texts]);
    header.write(MAGIC, 'latin1');
    header.writeUInt32LE(VERSION, HEADER.version);
    header.writeUInt32LE(this.#records.length, HEADER.count);
    header.writeUInt32LE(this.#nameBytes, HEADER.names);
    header.writeUInt32LE(this.#targetBytes, HEADER.targets);
    header.writeUInt32LE(crc32(body), HEADER.crc);
    header.writeUInt32LE(idsOf(), HEADER.ids);
    const [root] = this.#records;
    root?.copy(header, HEADER.ino, STATX.ino, STATX.ino + 8);
    root?.copy(header, HEADER.ctimeSec, STATX.ctimeSec, STATX.ctimeSec + 8);
    root?.copy(header, HEADER.ctimeNsec, STATX.ctimeNsec, STATX.ctimeNsec + 4);
    return Buffer.concat([header, body]);
  }
}

/** What the index of an open directory holds. Throws `SystemError` where it cannot be read whole. */
export function gatherIndex(root: number): Buffer {
  return new IndexWriter(root).gather();
}

/**
 * Writes the index of a layer, beside it, in the place of one that is there. From then on, until it is written again or
 * removed, the layer must not change. Throws `SystemError`, and changes nothing, where that fails.
 */
export function writeLayerIndex(layer: ByteString): void {
  const attempt = `index layer ${toText(layer)}`;
  const root = check(openat(AT_FDCWD, layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC), attempt);
  try {
    writeWhole(indexPath(layer), gatherIndex(root), attempt);
  } finally {
    close(root);
  }
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
