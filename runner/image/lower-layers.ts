import { Attr } from '../../fs/sys/attr.ts';
import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY, S_IFCHR, S_IFDIR, S_IFMT } from '../../fs/sys/constants.ts';
import { check, ENOENT, SystemError } from '../../fs/sys/errno.ts';
import { close, fstat, openat, statat } from '../../fs/sys/file.ts';
import { Memory } from '../../fs/sys/memory.ts';
import { getxattr, xattrNames, SELF } from '../../fs/sys/xattr.ts';
import { openDirectory } from './directory-walker.ts';
import { isReservedXattr, type Metadata, readKeptOwner, type Xattrs } from './entry-metadata.ts';
import { isOpaque } from '../../fs/layer-format.ts';

/** What lower layers, taken together, have at a path. */
export type LowerFile =
  | { readonly kind: 'absent' }
  | { readonly kind: 'other' }
  | { readonly kind: 'directory'; readonly metadata: Metadata };

/** Where a path led: the topmost file's kind, and for a directory all that merge there, the topmost first. */
interface Located {
  readonly kind: LowerFile['kind'];
  readonly directories: readonly number[];
}

const attr = new Attr();

/**
 * The layers below the one that is being unpacked, seen as their union. An archive need not hold the directories
 * above its entries; such a directory must look as it did in the layer below, or the new layer would change it.
 */
export class LowerLayers {
  readonly #roots: readonly number[];
  #parentKey: ByteString | undefined;
  #parent: readonly number[] = [];

  /** @param layers absolute paths, the topmost first. */
  constructor(layers: readonly ByteString[]) {
    const roots: number[] = [];
    this.#roots = roots;
    for (const layer of layers) {
      const flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
      roots.push(check(openat(-1, layer, flags), `open layer ${toText(layer)}`));
      // What is below an opaque root is hidden as a whole.
      if (isOpaque(roots.at(-1) ?? -1)) break;
    }
  }

  /** Whether there is nothing below: no whiteout is needed. */
  get isEmpty(): boolean {
    return this.#roots.length === 0;
  }

  find(path: readonly ByteString[]): LowerFile {
    const name = path.at(-1);
    if (name === undefined) return describe(this.#whole());
    const found = this.#step(this.#directoriesOf(path.slice(0, -1)), name);
    try {
      return describe(found);
    } finally {
      found.directories.forEach(close);
    }
  }

  #whole(): Located {
    return { kind: this.isEmpty ? 'absent' : 'directory', directories: this.#roots };
  }

  /** The directories that merge at `path`, kept open for the next one: names of one directory are asked for in a row. */
  #directoriesOf(path: readonly ByteString[]): readonly number[] {
    if (path.length === 0) return this.#roots;
    const key = path.join('/');
    if (key === this.#parentKey) return this.#parent;
    let directories = this.#roots;
    for (const name of path) {
      const next = this.#step(directories, name);
      if (directories !== this.#roots) directories.forEach(close);
      directories = next.directories;
    }
    this.#parent.forEach(close);
    this.#parent = directories;
    this.#parentKey = key;
    return directories;
  }

  /** One component further: the directories of that name that merge, the topmost first. */
  #step(directories: readonly number[], name: ByteString): Located {
    const merged: number[] = [];
    for (const directory of directories) {
      if (isThere(directory, `.wh.${name}`)) break;
      const status = statat(directory, name, attr);
      if (status === -ENOENT) continue;
      check(status, `look at ${toText(name)} in a lower layer`);
      if ((attr.mode & S_IFMT) !== S_IFDIR) {
        if (merged.length > 0 || isWhiteout(attr)) break;
        return { kind: 'other', directories: merged };
      }
      const fd = openDirectory(directory, name);
      if (fd < 0) throw new SystemError(`open directory ${toText(name)} of a lower layer`, fd);
      merged.push(fd);
      if (isOpaque(fd)) break;
    }
    return { kind: merged.length > 0 ? 'directory' : 'absent', directories: merged };
  }

  close(): void {
    this.#parent.forEach(close);
    this.#parent = [];
    this.#parentKey = undefined;
    this.#roots.forEach(close);
  }
}

function describe({ kind, directories: [top] }: Located): LowerFile {
  if (kind === 'directory' && top !== undefined) return { kind, metadata: directoryMetadata(top) };
  return { kind: kind === 'directory' ? 'absent' : kind };
}

function isThere(directory: number, name: ByteString): boolean {
  return statat(directory, name, attr) === 0;
}

function isWhiteout({ mode, rdevMajor, rdevMinor }: Attr): boolean {
  return (mode & S_IFMT) === S_IFCHR && rdevMajor === 0 && rdevMinor === 0;
}

/** @param fd of a directory of a lower layer. */
export function directoryMetadata(fd: number): Metadata {
  check(fstat(fd, attr), 'stat a directory of a lower layer');
  return {
    mode: attr.mode & 0o7777,
    ...(readKeptOwner(fd) ?? { uid: attr.uid, gid: attr.gid }),
    mtime: { seconds: attr.mtimeSec, nanoseconds: attr.mtimeNsec },
    xattrs: readXattrs(fd),
  };
}

const buffer = new Memory(65536);

function readXattrs(fd: number): Xattrs {
  const names = xattrNames(fd, SELF);
  const xattrs = new Map<ByteString, ByteString>();
  for (const name of typeof names === 'number' ? [] : names) {
    if (isReservedXattr(name)) continue;
    const size = getxattr(fd, SELF, name, buffer.address, buffer.size);
    if (size >= 0) xattrs.set(name, buffer.bytes.toString('latin1', 0, size));
  }
  return xattrs;
}
