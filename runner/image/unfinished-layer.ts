import { Attr } from '../../fs/sys/attr.ts';
import { type ByteString } from '../../fs/sys/bytes.ts';
import { ENOENT, SystemError } from '../../fs/sys/errno.ts';
import { close, statat } from '../../fs/sys/file.ts';
import { SELF } from '../../fs/sys/xattr.ts';
import { DirectoryWalker, ObstructedPathError, openDirectory } from './directory-walker.ts';
import { applyMetadata, markKeptOwners, type Metadata, NO_XATTRS, type Target, type Xattrs } from './entry-metadata.ts';
import { type Limits } from './limits.ts';
import { LowerLayers } from './lower-layers.ts';
import { Retained } from './retained.ts';
import { type Warnings } from './warnings.ts';
import { makeOpaque, makeWhiteout } from './whiteouts.ts';

export type Path = readonly ByteString[];

const DEFAULT_DIRECTORY: Metadata = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  xattrs: NO_XATTRS,
};

/** For a directory that the archive takes for granted: it is to look as it does below this layer. */
const AS_BELOW = 'as below';

const attr = new Attr();

/** Key of a path; the root's is empty. */
export function keyOf(path: Path): ByteString {
  return path.join('/');
}

function pathOf(key: ByteString): ByteString[] {
  return key === '' ? [] : key.split('/');
}

/**
 * What is left to do when all files of a layer are there: everything that depends on the layers below, which need not be
 * there before. So layers of one image can be unpacked at once, and are finished one after the other, the bottom one
 * first.
 */
export class UnfinishedLayer {
  readonly #warnings: Warnings;
  /** Directories of this layer, and such as were, with what they are to look like in the end. */
  readonly #directories = new Map<ByteString, Metadata | typeof AS_BELOW>();
  // Marks hide what is in lower layers, never this layer's own files, wherever in the archive they stand.
  readonly #whiteouts = new Set<ByteString>();
  readonly #opaques = new Set<ByteString>();
  readonly #retained: Retained;
  #keepsOwners = false;

  constructor(limits: Limits, warnings: Warnings) {
    this.#warnings = warnings;
    this.#retained = new Retained(limits, 'what must be remembered of directories and whiteouts');
    this.imply([]);
  }

  /** Bytes that are kept in memory. */
  get retained(): number {
    return this.#retained.bytes;
  }

  keepDirectory(path: Path, metadata: Metadata): void {
    const key = keyOf(path);
    this.#count(key, metadata.xattrs);
    this.#directories.set(key, metadata);
  }

  imply(path: Path): void {
    const key = keyOf(path);
    this.#count(key, NO_XATTRS);
    this.#directories.set(key, AS_BELOW);
  }

  /** Hides what lower layers have at `path`. */
  whiteOut(path: Path): void {
    this.#retain(this.#whiteouts, keyOf(path));
  }

  /** Hides all that lower layers have in the directory at `path`. */
  makeOpaque(path: Path): void {
    this.#retain(this.#opaques, keyOf(path));
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

  apply(target: Target, metadata: Metadata): void {
    if (applyMetadata(target, metadata, this.#warnings)) this.noteKeptOwner();
  }

  /** A file of the layer has its owner, or its type, in an attribute. */
  noteKeptOwner(): void {
    this.#keepsOwners = true;
  }

  /**
   * Makes the marks, then gives directories their own metadata, the deepest first.
   *
   * @param directory the layer's root, open.
   * @param layers finished layers below this one, absolute paths, the topmost first.
   */
  finish(directory: number, layers: readonly ByteString[]): void {
    const lowers = new LowerLayers(layers);
    const walker = new DirectoryWalker(directory);
    try {
      if (!lowers.isEmpty) this.#makeMarks(walker, lowers);
      for (const [key, metadata] of [...this.#directories].sort(deepestFirst)) {
        ifStillThere(() => this.#finishDirectory(pathOf(key), metadata, walker, lowers));
      }
    } finally {
      walker.close();
      lowers.close();
    }
  }

  #makeMarks(walker: DirectoryWalker, lowers: LowerLayers): void {
    for (const key of this.#opaques) ifStillThere(() => this.#finishOpaque(pathOf(key), walker, lowers));
    // Directories before what is in them: in an opaque one nothing need be hidden.
    for (const key of [...this.#whiteouts].sort()) {
      ifStillThere(() => this.#finishWhiteout(pathOf(key), walker, lowers));
    }
  }

  #finishOpaque(path: Path, walker: DirectoryWalker, lowers: LowerLayers): void {
    if (this.#isHiddenAbove(path) || lowers.find(path).kind !== 'directory') return;
    makeOpaque(walker.open(path, (implied) => this.imply(implied)));
  }

  /** All of lower layers is hidden there: a mark's own directories would show what is gone. */
  #isHiddenAbove(path: Path): boolean {
    return path.some((_, depth) => {
      const above = keyOf(path.slice(0, depth));
      return this.#opaques.has(above) || this.#whiteouts.has(above);
    });
  }

  #finishWhiteout(path: Path, walker: DirectoryWalker, lowers: LowerLayers): void {
    const name = path.at(-1);
    if (name === undefined || this.#isHiddenAbove(path)) return;
    const lower = lowers.find(path);
    if (lower.kind === 'absent') return;
    const parent = walker.open(path.slice(0, -1), (implied) => this.imply(implied));
    if (statat(parent, name, attr) === -ENOENT) makeWhiteout(parent, name);
    // A directory that this layer made anew does not merge with the one that it whites out.
    else if (lower.kind === 'directory' && isDirectory(parent, name)) makeOpaque(walker.open(path));
  }

  #finishDirectory(
    path: Path,
    metadata: Metadata | typeof AS_BELOW,
    walker: DirectoryWalker,
    lowers: LowerLayers,
  ): void {
    const dirfd = walker.open(path);
    const look = metadata === AS_BELOW ? lookBelow(path, lowers) : metadata;
    this.apply({ dirfd, name: SELF, isSymlink: false }, look);
    // The root comes last.
    if (path.length === 0 && this.#keepsOwners) markKeptOwners(dirfd, look);
  }
}

function lookBelow(path: Path, lowers: LowerLayers): Metadata {
  const lower = lowers.find(path);
  return lower.kind === 'directory' ? lower.metadata : DEFAULT_DIRECTORY;
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
function deepestFirst<T>([one]: readonly [ByteString, T], [other]: readonly [ByteString, T]): number {
  if (one === other) return 0;
  return one < other ? 1 : -1;
}

export function isDirectory(parent: number, name: ByteString): boolean {
  const fd = openDirectory(parent, name);
  if (fd >= 0) close(fd);
  return fd >= 0;
}
