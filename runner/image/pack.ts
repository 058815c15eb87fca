import { readSync } from 'node:fs';

import { hasDotForm } from '../../fs/layer-format.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import {
  O_CLOEXEC,
  O_NOATIME,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  S_IFMT,
  S_IFREG,
  SEEK_DATA,
} from '../../fs/sys/constants.ts';
import { readDirectory } from '../../fs/sys/directory.ts';
import { check, ELOOP, ENOENT, ENOTDIR, ENXIO, EPERM, SystemError } from '../../fs/sys/errno.ts';
import { close, fstat, lseek, openat } from '../../fs/sys/file.ts';
import { SELF } from '../../fs/sys/xattr.ts';
import { type ByteSource } from './compression.ts';
import { openDirectory } from './directory-walker.ts';
import { describeFile, type FileDescription, type OwnerRecords, ownerRecordsOf } from './layer-file.ts';
import { type Timestamp } from './pax.ts';
import { archiveEnd, encodeHeader, padding, type TarHeader } from './tar-writer.ts';
import { type Warnings } from './warnings.ts';

/** How trees become archives. */
export interface PackOptions {
  readonly warnings: Warnings;
  /** Seconds since 1970: later times are set to it, as SOURCE_DATE_EPOCH asks for. */
  readonly latest?: number | undefined;
  /** A name `.wh.NAME` may stand in the archive: it is a root filesystem's, not a layer's, where it would hide NAME. */
  readonly dotNames?: boolean;
  /** Others may be at work in the tree: a file that is gone since its name was read is left out. */
  readonly isLive?: boolean;
  /** Whom the archive names as owners; without it, those whom the files have. */
  readonly owners?: OwnerNames | undefined;
}

/** Ids of an archive for those of files. */
export interface OwnerNames {
  readonly uid: (id: number) => number;
  readonly gid: (id: number) => number;
}

/** A real file: `name` in an open directory, or with `SELF` that directory itself. */
export interface SourceFile {
  readonly dirfd: number;
  readonly name: ByteString;
  readonly records: OwnerRecords;
}

type Chunks = Generator<Uint8Array, void, undefined>;

const PATH_BYTES = 4095;
/** Data is read in pieces of this size. */
const READ = 1 << 20;
const OPEN = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

const attr = new Attr();

/** Puts entries into an archive, in the order in which they are added. Directories and whiteouts are the caller's. */
export class Packer {
  readonly #options: PackOptions;
  /** For files of several names, the first in the archive; the others become links to it. */
  readonly #links = new Map<string, ByteString>();

  constructor(options: PackOptions) {
    this.#options = options;
  }

  /**
   * The file as an entry, with its data, or as a link to one that came before under another name. A directory is
   * entered without what is in it, a socket not at all.
   *
   * @param path of the entry, without slashes around it; empty for the root.
   * @param data where a file's data is, if not in itself, as that of a metacopy.
   */
  *add(source: SourceFile, path: ByteString, data: SourceFile = source): Chunks {
    this.#checkPath(path);
    const { warnings } = this.#options;
    const file = this.#renamed(describeFile(source.dirfd, source.name, source.records, path, warnings));
    if (file.type === undefined) {
      warnings.add('socket is left out', toText(path));
      return;
    }
    const first = file.linkKey === undefined ? undefined : this.#links.get(file.linkKey);
    if (first !== undefined) {
      yield encodeHeader(this.#header(file, path, { type: 'link', linkname: first, size: 0, xattrs: new Map() }));
      return;
    }
    if (file.linkKey !== undefined) this.#links.set(file.linkKey, path);
    if (file.type === 'file') yield* this.#addRegular(file, path, data);
    else yield encodeHeader(this.#header(file, path, { type: file.type, linkname: file.target }));
  }

  #renamed(file: FileDescription): FileDescription {
    const { owners } = this.#options;
    return owners === undefined ? file : { ...file, uid: owners.uid(file.uid), gid: owners.gid(file.gid) };
  }

  get isLive(): boolean {
    return this.#options.isLive === true;
  }

  /** As `add`; in a tree in which others are at work, what is gone is left out. */
  *addIfThere(source: SourceFile, path: ByteString): Chunks {
    try {
      yield* this.add(source, path);
    } catch (error) {
      // Nothing of an entry comes before its file is open.
      const isGone = error instanceof SystemError && error.errno === ENOENT;
      if (!isGone || !this.isLive) throw error;
    }
  }

  /** An empty file of root's that tells something by its name: a whiteout, or the mark of an opaque directory. */
  *addMark(path: ByteString): Chunks {
    if (path.length > PATH_BYTES) throw longPath(path);
    const time = { seconds: 0, nanoseconds: 0 };
    const rest = { size: 0, mtime: time, linkname: '', major: 0, minor: 0, xattrs: new Map<string, string>() };
    yield encodeHeader({ name: path, type: 'file', mode: 0, uid: 0, gid: 0, ...rest });
  }

  *#addRegular(file: FileDescription, path: ByteString, { dirfd, name }: SourceFile): Chunks {
    // A stand-in for another type is one by its record; data it has none.
    const fd = check(openForReading(dirfd, name), `read ${toText(path)}`);
    try {
      check(fstat(fd, attr), `look at ${toText(path)}`);
      if ((attr.mode & S_IFMT) !== S_IFREG) throw changed(path);
      const { size } = attr;
      const isSparse = attr.blocks * 512 < size;
      yield encodeHeader(this.#header(file, path, { type: 'file', linkname: '', size }));
      yield* readData(fd, size, isSparse, path);
      if (size % 512 !== 0) yield padding(size);
    } finally {
      close(fd);
    }
  }

  #header(
    file: FileDescription,
    path: ByteString,
    more: Pick<TarHeader, 'type' | 'linkname'> & Partial<TarHeader>,
  ): TarHeader {
    const name = more.type === 'directory' ? `${path === '' ? '.' : path}/` : path;
    return { ...file, name, mtime: this.#timeOf(file.mtime), ...more };
  }

  #timeOf(time: Timestamp): Timestamp {
    const { latest } = this.#options;
    return latest === undefined || time.seconds < latest ? time : { seconds: latest, nanoseconds: 0 };
  }

  #checkPath(path: ByteString): void {
    if (path.length > PATH_BYTES) throw longPath(path);
    if (this.#options.dotNames === true) return;
    if (!hasDotForm(path.slice(path.lastIndexOf('/') + 1))) return;
    throw new Error(
      `${JSON.stringify(toText(`/${path}`))} cannot be in an image's layer, where a name that begins with ".wh." hides another: rename or remove it`,
    );
  }
}

function longPath(path: ByteString): Error {
  return new Error(`the path ${toText(path.slice(0, 100))}... is over ${PATH_BYTES} bytes, which nobody could unpack`);
}

function changed(path: ByteString): Error {
  return new Error(`${toText(path)} changed while it was being read: stop what writes to it, and try again`);
}

function openForReading(dirfd: number, name: ByteString): number {
  const quiet = openat(dirfd, name, OPEN | O_NOATIME);
  return quiet === -EPERM ? openat(dirfd, name, OPEN) : quiet;
}

/** The first `size` bytes of a file, of which holes are not read. */
function* readData(fd: number, size: number, isSparse: boolean, path: ByteString): Chunks {
  for (let at = 0; at < size;) {
    const data = isSparse ? nextData(fd, at, size) : at;
    for (; at < data; at += Math.min(READ, data - at)) yield Buffer.alloc(Math.min(READ, data - at));
    if (at >= size) return;
    const buffer = Buffer.allocUnsafe(Math.min(READ, size - at));
    const length = readSync(fd, buffer, 0, buffer.length, at);
    if (length === 0) throw changed(path);
    at += length;
    yield buffer.subarray(0, length);
  }
}

function nextData(fd: number, at: number, size: number): number {
  const found = Number(lseek(fd, at, SEEK_DATA));
  if (found === -ENXIO) return size;
  // Filesystems without SEEK_DATA have the holes read as they show.
  return found < 0 ? at : Math.min(found, size);
}

/** The names in an open directory, in the order of an archive: that of their bytes. */
function sortedNames(fd: number, shown: ByteString): ByteString[] {
  const names: ByteString[] = [];
  const fresh = check(openDirectory(fd, '.'), `open directory ${toText(shown)}`);
  const status = readDirectory(fresh, (name) => void names.push(name));
  close(fresh);
  check(status, `read directory ${toText(shown)}`);
  return names.sort();
}

/**
 * A tree of plain files as an archive: a root filesystem, as it lies on disk or in a mount. It is walked by descriptors,
 * through no symlink.
 *
 * @param root an open directory, which stays the caller's.
 */
export function packTree(root: number, options: PackOptions, records = ownerRecordsOf(root)): ByteSource {
  return inBlocks(treeChunks(root, new Packer(options), records));
}

function* treeChunks(root: number, packer: Packer, records: OwnerRecords): Chunks {
  yield* packDirectory(packer, root, '', records);
  yield archiveEnd();
}

/**
 * A file, or a directory with all in it, as an archive in which it has another name.
 *
 * @param name of its entry; empty for a directory whose contents are at the archive's root.
 */
export function packEntry(source: SourceFile, name: ByteString, options: PackOptions): ByteSource {
  return inBlocks(entryChunks(source, name, new Packer(options)));
}

function* entryChunks(source: SourceFile, name: ByteString, packer: Packer): Chunks {
  if (source.name === SELF) yield* packDirectory(packer, source.dirfd, name, source.records);
  else yield* packer.add(source, name);
  yield archiveEnd();
}

/** A directory with all in it. */
function* packDirectory(packer: Packer, fd: number, path: ByteString, records: OwnerRecords): Chunks {
  yield* packer.add({ dirfd: fd, name: SELF, records }, path);
  for (const name of sortedNames(fd, path)) {
    const child = path === '' ? name : `${path}/${name}`;
    const directory = openDirectory(fd, name);
    if (directory === -ENOTDIR || directory === -ELOOP) {
      yield* packer.addIfThere({ dirfd: fd, name, records }, child);
      continue;
    }
    if (directory === -ENOENT && packer.isLive) continue;
    check(directory, `open directory ${toText(child)}`);
    try {
      yield* packDirectory(packer, directory, child, records);
    } finally {
      close(directory);
    }
  }
}

/** What is passed on at a time; longer pieces go as they are. */
const BLOCK = 1 << 18;

/** The same bytes in larger pieces: each costs its reader something. */
export async function* inBlocks(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  for (const block of blocksOf(chunks)) yield await Promise.resolve(block);
}

function* blocksOf(chunks: Iterable<Uint8Array>): Chunks {
  let block = Buffer.allocUnsafe(BLOCK);
  let filled = 0;
  for (const chunk of chunks) {
    if (filled + chunk.length > BLOCK) {
      if (filled > 0) yield block.subarray(0, filled);
      block = Buffer.allocUnsafe(BLOCK);
      filled = 0;
    }
    if (chunk.length >= BLOCK) {
      yield chunk;
      continue;
    }
    block.set(chunk, filled);
    filled += chunk.length;
  }
  if (filled > 0) yield block.subarray(0, filled);
}
