import { Attr, encodeDevice } from '../../fs/sys/attr.ts';
import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import {
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
} from '../../fs/sys/constants.ts';
import { check, ENOENT, EPERM } from '../../fs/sys/errno.ts';
import { close, linkat, mkdirat, mknodat, openat, statat, symlinkat, unlinkat } from '../../fs/sys/file.ts';
import { hasAllIds } from '../../fs/sys/id-maps.ts';
import { SELF } from '../../fs/sys/xattr.ts';
import { type ByteSource } from './compression.ts';
import { DirectoryWalker } from './directory-walker.ts';
import { type Metadata, standForDevice, xattrsOf } from './entry-metadata.ts';
import { markerOf, parseEntryPath } from './entry-path.ts';
import { FileWriter } from './file-writer.ts';
import { type Limits, overLimit } from './limits.ts';
import { removeTree } from '../../fs/sys/remove-tree.ts';
import { entryError, readTar, type TarEntry } from './tar.ts';
import { isDirectory, keyOf, type Path, UnfinishedLayer } from './unfinished-layer.ts';
import { type Warnings } from './warnings.ts';

/** Where a layer is unpacked, and under which conditions. */
export interface AsideOptions {
  /** An open, empty directory; nothing outside it is touched. */
  readonly directory: number;
  readonly limits: Limits;
  readonly warnings: Warnings;
  /** Takes the data of a new file in place of the file itself: for those who only want to know what it would be. */
  readonly createWriter?: (fd: number) => Pick<FileWriter, 'write' | 'finish'>;
}

/** What came out. */
export interface Unpacked {
  /** Bytes of all files. */
  readonly size: number;
  readonly entries: number;
}

/** Unpacks a layer's archive, already uncompressed, but for what depends on the layers below. */
export async function unpackAside(
  archive: ByteSource,
  options: AsideOptions,
): Promise<Unpacked & { readonly unfinished: UnfinishedLayer }> {
  const unpacker = new LayerUnpacker(options);
  try {
    await readTar(archive, options.limits, (entry) => unpacker.add(entry));
    const { size, entries, unfinished } = unpacker;
    return { size, entries, unfinished };
  } finally {
    unpacker.close();
  }
}

export interface UnpackOptions extends AsideOptions {
  /** Unpacked layers below this one, absolute paths, the topmost first. */
  readonly lowers: readonly ByteString[];
}

/** Unpacks a layer's archive, already uncompressed, into the form in which a union takes it as a lower. */
export async function unpackLayer(archive: ByteSource, options: UnpackOptions): Promise<Unpacked> {
  const { unfinished, ...unpacked } = await unpackAside(archive, options);
  unfinished.finish(options.directory, options.lowers);
  return unpacked;
}

const CREATE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
/** Directories stay so until all is in them: their own mode might forbid it, their default ACL would be inherited. */
const UNFINISHED = 0o700;
const attr = new Attr();

class LayerUnpacker {
  readonly #options: AsideOptions;
  readonly #walker: DirectoryWalker;
  /** For the targets of hard links, so that the other one's place is not lost. */
  readonly #targets: DirectoryWalker;
  readonly unfinished: UnfinishedLayer;
  size = 0;
  entries = 0;

  constructor(options: AsideOptions) {
    this.#options = options;
    this.#walker = new DirectoryWalker(options.directory);
    this.#targets = new DirectoryWalker(options.directory);
    this.unfinished = new UnfinishedLayer(options.limits, options.warnings);
  }

  close(): void {
    this.#walker.close();
    this.#targets.close();
  }

  async add(entry: TarEntry): Promise<void> {
    this.entries += 1;
    try {
      await this.#add(entry);
    } catch (error) {
      throw entryError(entry.name, error);
    }
  }

  async #add(entry: TarEntry): Promise<void> {
    const path = parseEntryPath(entry.name, this.#options.limits);
    const marker = markerOf(path);
    const parent = path.slice(0, -1);
    if (marker.kind === 'whiteout') this.unfinished.whiteOut([...parent, marker.name]);
    if (marker.kind === 'opaque') this.unfinished.makeOpaque(parent);
    if (marker.kind === 'entry') await this.#addFile(entry, path);
  }

  #metadataOf({ mode, uid, gid, mtime, pax }: TarEntry): Metadata {
    return { mode, uid, gid, mtime, xattrs: xattrsOf(pax, this.#options.warnings) };
  }

  #openParent(path: Path): number {
    return this.#walker.open(path.slice(0, -1), (implied) => this.unfinished.imply(implied));
  }

  async #addFile(entry: TarEntry, path: Path): Promise<void> {
    const name = path.at(-1);
    if (entry.type === 'directory') {
      this.#addDirectory(entry, path, name);
      return;
    }
    if (name === undefined) throw new Error('it would replace the root of the layer');
    const parent = this.#openParent(path);
    if (entry.type === 'link') {
      this.#addLink(entry, path, parent, name);
      return;
    }
    this.#clear(parent, name);
    if (entry.type === 'file') await this.#addRegular(entry, parent, name);
    else this.#addSpecial(entry, path, parent, name);
  }

  #addSpecial(entry: TarEntry, path: Path, parent: number, name: ByteString): void {
    if (entry.type === 'symlink') check(symlinkat(linkTarget(entry), parent, name), 'make the symlink');
    else if (entry.type === 'fifo') check(mknodat(parent, name, S_IFIFO | 0o600, 0), 'make the fifo');
    else if (!this.#makeDevice(entry, parent, name)) {
      if (!this.#makeStandIn(entry, path, parent, name)) this.#skipDevice(path);
      return;
    }
    this.unfinished.apply({ dirfd: parent, name, isSymlink: entry.type === 'symlink' }, this.#metadataOf(entry));
  }

  #addDirectory(entry: TarEntry, path: Path, name: ByteString | undefined): void {
    if (name !== undefined) {
      const parent = this.#openParent(path);
      if (!isDirectory(parent, name)) {
        // What took the name before it in this layer hid the lower directory as well.
        if (this.#clear(parent, name)) this.unfinished.whiteOut(path);
        check(mkdirat(parent, name, UNFINISHED), 'make the directory');
      }
    }
    this.unfinished.keepDirectory(path, this.#metadataOf(entry));
  }

  /** What is there gives way, a directory with all in it: the later entry wins, as in docker. False: nothing was. */
  #clear(parent: number, name: ByteString): boolean {
    const status = statat(parent, name, attr);
    if (status === -ENOENT) return false;
    check(status, 'look at what it replaces');
    if ((attr.mode & S_IFMT) === S_IFDIR) this.#targets.close();
    removeTree(parent, name);
    return true;
  }

  async #addRegular(entry: TarEntry, parent: number, name: ByteString): Promise<void> {
    this.size += entry.size;
    if (this.size > this.#options.limits.layerBytes) {
      throw overLimit('the size of the layer', this.#options.limits, 'layer-size');
    }
    const fd = check(openat(parent, name, CREATE, 0o600), 'make the file');
    try {
      const writer = this.#options.createWriter?.(fd) ?? new FileWriter(fd);
      for await (const chunk of entry.data) writer.write(chunk);
      writer.finish();
      this.unfinished.apply({ dirfd: fd, name: SELF, isSymlink: false }, this.#metadataOf(entry));
    } finally {
      close(fd);
    }
  }

  #addLink(entry: TarEntry, path: Path, parent: number, name: ByteString): void {
    const target = parseEntryPath(entry.linkname, this.#options.limits);
    const shown = JSON.stringify(toText(entry.linkname));
    const last = target.at(-1);
    if (last === undefined || keyOf(target) === keyOf(path)) throw new Error(`it is a hard link to ${shown}`);
    this.#clear(parent, name);
    const status = this.#link(target.slice(0, -1), last, parent, name);
    if (status === -ENOENT) throw new Error(`it is a hard link to ${shown}, which is not in the layer`);
    check(status, `link it to ${shown}`);
  }

  #link(directory: Path, last: ByteString, parent: number, name: ByteString): number {
    return linkat(this.#targets.open(directory), last, parent, name);
  }

  /** False where the kernel allows no device nodes. */
  #makeDevice({ type, major, minor }: TarEntry, parent: number, name: ByteString): boolean {
    const isCharacter = type === 'character-device';
    if (isCharacter && major === 0 && minor === 0) {
      throw new Error("it is a character device 0:0, which is the union's whiteout");
    }
    const mode = (isCharacter ? S_IFCHR : S_IFBLK) | 0o600;
    const status = mknodat(parent, name, mode, encodeDevice(major, minor));
    if (status !== -EPERM) check(status, `make device ${major}:${minor}`);
    return status !== -EPERM;
  }

  /**
   * A user namespace makes no devices: as in containers/storage, a regular file stands for one. As root, where the union
   * does not believe an attribute that everybody could have written, there is none.
   */
  #makeStandIn(entry: TarEntry, path: Path, parent: number, name: ByteString): boolean {
    if (hasAllIds()) return false;
    const fd = check(openat(parent, name, CREATE, 0o600), 'make a file in the place of the device node');
    const letters = entry.type === 'character-device' ? 'char' : 'block';
    const isKept = standForDevice(fd, `${letters}-${entry.major}-${entry.minor}`, this.#metadataOf(entry));
    close(fd);
    if (isKept) {
      this.unfinished.noteKeptOwner();
      this.#options.warnings.add(
        'device node cannot be made without root and is kept in an extended attribute',
        toText(keyOf(path)),
      );
    } else unlinkat(parent, name);
    return isKept;
  }

  // The image is good without: /dev is made anew in a container. A lower layer's file of that name is not to show in its
  // place.
  #skipDevice(path: Path): void {
    this.#options.warnings.add('device node cannot be made without root and is left out', toText(keyOf(path)));
    this.unfinished.whiteOut(path);
  }
}

const SYMLINK_MAX = 4095;

function linkTarget({ linkname }: TarEntry): ByteString {
  if (linkname === '' || linkname.length > SYMLINK_MAX || linkname.includes('\0')) {
    throw new Error('it is a symlink whose target is empty, too long or has a NUL byte');
  }
  return linkname;
}
