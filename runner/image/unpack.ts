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
import { check, ENOENT, EPERM, SystemError } from '../../fs/sys/errno.ts';
import { close, linkat, mkdirat, mknodat, openat, statat, symlinkat, unlinkat } from '../../fs/sys/file.ts';
import { hasAllIds } from '../../fs/sys/id-maps.ts';
import { SELF } from '../../fs/sys/xattr.ts';
import { type ByteSource } from './compression.ts';
import { DirectoryWalker, ObstructedPathError, openDirectory } from './directory-walker.ts';
import {
  applyMetadata,
  markKeptOwners,
  type Metadata,
  NO_XATTRS,
  standForDevice,
  type Target,
  type Xattrs,
  xattrsOf,
} from './entry-metadata.ts';
import { markerOf, parseEntryPath } from './entry-path.ts';
import { FileWriter } from './file-writer.ts';
import { type Limits, overLimit } from './limits.ts';
import { LowerLayers } from './lower-layers.ts';
import { Retained } from './retained.ts';
import { removeTree } from '../../fs/sys/remove-tree.ts';
import { entryError, readTar, type TarEntry } from './tar.ts';
import { type Warnings } from './warnings.ts';
import { makeOpaque, makeWhiteout } from './whiteouts.ts';

/** Where a layer is unpacked, and under which conditions. */
export interface UnpackOptions {
  /** An open, empty directory; nothing outside it is touched. */
  readonly directory: number;
  /** Unpacked layers below this one, absolute paths, the topmost first. */
  readonly lowers: readonly ByteString[];
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

/** Unpacks a layer's archive, already uncompressed, into the form in which a union takes it as a lower. */
export async function unpackLayer(archive: ByteSource, options: UnpackOptions): Promise<Unpacked> {
  const unpacker = new LayerUnpacker(options);
  try {
    await readTar(archive, options.limits, (entry) => unpacker.add(entry));
    unpacker.finish();
    return { size: unpacker.size, entries: unpacker.entries };
  } finally {
    unpacker.close();
  }
}

type Path = readonly ByteString[];

const CREATE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
/** Directories stay so until all is in them: their own mode might forbid it, their default ACL would be inherited. */
const UNFINISHED = 0o700;
const DEFAULT_DIRECTORY: Metadata = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  xattrs: NO_XATTRS,
};

const attr = new Attr();

/** Key of a path; the root's is empty. */
function keyOf(path: Path): ByteString {
  return path.join('/');
}

function pathOf(key: ByteString): ByteString[] {
  return key === '' ? [] : key.split('/');
}

class LayerUnpacker {
  readonly #options: UnpackOptions;
  readonly #lowers: LowerLayers;
  readonly #walker: DirectoryWalker;
  /** For the targets of hard links, so that the other one's place is not lost. */
  readonly #targets: DirectoryWalker;
  /** Directories of this layer, and such as were, with what they are to look like in the end. */
  readonly #directories = new Map<ByteString, Metadata>();
  // Marks hide what is in lower layers, never this layer's own files, wherever in the archive they stand: so they are
  // made when all files are there.
  readonly #whiteouts = new Set<ByteString>();
  readonly #opaques = new Set<ByteString>();
  readonly #retained: Retained;
  #keepsOwners = false;
  size = 0;
  entries = 0;

  constructor(options: UnpackOptions) {
    this.#options = options;
    this.#retained = new Retained(options.limits, 'what must be remembered of directories and whiteouts');
    this.#lowers = new LowerLayers(options.lowers);
    this.#walker = new DirectoryWalker(options.directory);
    this.#targets = new DirectoryWalker(options.directory);
    this.#imply([]);
  }

  close(): void {
    this.#walker.close();
    this.#targets.close();
    this.#lowers.close();
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
    if (marker.kind === 'whiteout') this.#retain(this.#whiteouts, keyOf([...parent, marker.name]));
    if (marker.kind === 'opaque') this.#retain(this.#opaques, keyOf(parent));
    if (marker.kind === 'entry') await this.#addFile(entry, path);
  }

  #retain(set: Set<ByteString>, key: ByteString): void {
    this.#count(key, NO_XATTRS);
    set.add(key);
  }

  // A map's own cost is counted too, so that many short names are no way around the limit.
  #count(key: ByteString, xattrs: Xattrs): void {
    let bytes = key.length + 64;
    for (const [name, content] of xattrs) bytes += name.length + content.length;
    this.#retained.add(bytes);
  }

  #keepDirectory(path: Path, metadata: Metadata): void {
    const key = keyOf(path);
    this.#count(key, metadata.xattrs);
    this.#directories.set(key, metadata);
  }

  /** A directory that the archive takes for granted looks as it does below this layer. */
  #imply(path: Path): void {
    const lower = this.#lowers.find(path);
    this.#keepDirectory(path, lower.kind === 'directory' ? lower.metadata : DEFAULT_DIRECTORY);
  }

  #metadataOf({ mode, uid, gid, mtime, pax }: TarEntry): Metadata {
    return { mode, uid, gid, mtime, xattrs: xattrsOf(pax, this.#options.warnings) };
  }

  #openParent(path: Path): number {
    return this.#walker.open(path.slice(0, -1), (implied) => this.#imply(implied));
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
    this.#apply({ dirfd: parent, name, isSymlink: entry.type === 'symlink' }, this.#metadataOf(entry));
  }

  #apply(target: Target, metadata: Metadata): void {
    if (applyMetadata(target, metadata, this.#options.warnings)) this.#keepsOwners = true;
  }

  #addDirectory(entry: TarEntry, path: Path, name: ByteString | undefined): void {
    if (name !== undefined) {
      const parent = this.#openParent(path);
      if (!isDirectory(parent, name)) {
        // What took the name before it in this layer hid the lower directory as well.
        if (this.#clear(parent, name)) this.#retain(this.#whiteouts, keyOf(path));
        check(mkdirat(parent, name, UNFINISHED), 'make the directory');
      }
    }
    this.#keepDirectory(path, this.#metadataOf(entry));
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
      this.#apply({ dirfd: fd, name: SELF, isSymlink: false }, this.#metadataOf(entry));
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
      this.#keepsOwners = true;
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
    this.#retain(this.#whiteouts, keyOf(path));
  }

  /** Makes the marks, then gives directories their own metadata, the deepest first. */
  finish(): void {
    if (!this.#lowers.isEmpty) {
      for (const key of this.#opaques) ifStillThere(() => this.#finishOpaque(pathOf(key)));
      // Directories before what is in them: in an opaque one nothing need be hidden.
      for (const key of [...this.#whiteouts].sort()) ifStillThere(() => this.#finishWhiteout(pathOf(key)));
    }
    for (const [key, metadata] of [...this.#directories].sort(deepestFirst)) {
      ifStillThere(() => this.#finishDirectory(pathOf(key), metadata));
    }
  }

  #finishOpaque(path: Path): void {
    if (this.#isHiddenAbove(path) || this.#lowers.find(path).kind !== 'directory') return;
    makeOpaque(this.#walker.open(path, (implied) => this.#imply(implied)));
  }

  /** All of lower layers is hidden there: a mark's own directories would show what is gone. */
  #isHiddenAbove(path: Path): boolean {
    return path.some((_, depth) => {
      const above = keyOf(path.slice(0, depth));
      return this.#opaques.has(above) || this.#whiteouts.has(above);
    });
  }

  #finishWhiteout(path: Path): void {
    const name = path.at(-1);
    if (name === undefined || this.#isHiddenAbove(path)) return;
    const lower = this.#lowers.find(path);
    if (lower.kind === 'absent') return;
    const parent = this.#openParent(path);
    if (statat(parent, name, attr) === -ENOENT) makeWhiteout(parent, name);
    // A directory that this layer made anew does not merge with the one that it whites out.
    else if (lower.kind === 'directory' && isDirectory(parent, name)) makeOpaque(this.#walker.open(path));
  }

  #finishDirectory(path: Path, metadata: Metadata): void {
    const dirfd = this.#walker.open(path);
    this.#apply({ dirfd, name: SELF, isSymlink: false }, metadata);
    // The root comes last.
    if (path.length === 0 && this.#keepsOwners) markKeptOwners(dirfd, metadata);
  }
}

// Where a later entry took a directory's place, what was kept for it is void. And umoci writes whiteouts of all that
// was in a directory whose place a file took: hidden as it is.
function ifStillThere(work: () => void): void {
  try {
    work();
  } catch (error) {
    const isGone = error instanceof SystemError && error.errno === ENOENT;
    if (!isGone && !(error instanceof ObstructedPathError)) throw error;
  }
}

// Paths sort so that what begins alike stands together; reversed, a directory comes after all below it.
function deepestFirst([one]: [ByteString, Metadata], [other]: [ByteString, Metadata]): number {
  if (one === other) return 0;
  return one < other ? 1 : -1;
}

function isDirectory(parent: number, name: ByteString): boolean {
  const fd = openDirectory(parent, name);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

const SYMLINK_MAX = 4095;

function linkTarget({ linkname }: TarEntry): ByteString {
  if (linkname === '' || linkname.length > SYMLINK_MAX || linkname.includes('\0')) {
    throw new Error('it is a symlink whose target is empty, too long or has a NUL byte');
  }
  return linkname;
}
