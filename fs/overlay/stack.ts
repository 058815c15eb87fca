import { type ByteString } from '../sys/bytes.ts';
import { DT_DIR, S_IFDIR, S_IFMT, S_IFREG } from '../sys/constants.ts';
import { Attr } from '../sys/attr.ts';
import { ELOOP, ENOENT, ENOTDIR } from '../sys/errno.ts';
import { statat } from '../sys/file.ts';
import { getxattrText } from '../sys/xattr.ts';
import { type IndexEntry } from './directory-index.ts';
import { type Inode } from './inode.ts';
import { NO_LOWERS } from './inode-parts.ts';
import { readMarks } from './marks.ts';
import { hasDotWhiteout } from './merge.ts';
import { RealDirectory } from './real-directory.ts';
import { redirectFault, redirectPath } from './redirect.ts';
import { type Union } from './union.ts';

// The union's scratch may be in use by whoever looks a file up.
const attr = new Attr();

/**
 * The lower directories that a directory of the union is made of, top first: those of its name, down to the first that
 * is opaque; where one has a redirect, the search goes on there in the layers below it (fs/overlayfs/namei.c,
 * ovl_lookup). A negative errno where a layer cannot be read: what is in it must not be hidden, or removed, for that.
 */
export function stackLowers(
  union: Union,
  parent: Inode,
  name: ByteString,
  entry: IndexEntry,
  upper: RealDirectory | undefined,
): readonly RealDirectory[] | number {
  const stack: RealDirectory[] = [];
  if (upper !== undefined) {
    const below = goesOn(union, parent, upper, stack);
    if (below !== BELOW) return below < 0 ? below : stack;
  }
  if (entry.lowerType !== DT_DIR) return stack.length === 0 ? NO_LOWERS : stack;
  for (const position of [entry.lower, ...(entry.more ?? [])]) {
    const base = parent.lowers[position - 1];
    if (base === undefined) break;
    const directory = new RealDirectory(base.layer, base, name);
    stack.push(directory);
    const below = goesOn(union, parent, directory, stack);
    if (below < 0) return below;
    if (below !== BELOW) break;
  }
  return stack;
}

/** The layers below take part. */
const BELOW = 1;

/** Layers were changed underneath: what is not there, or no directory, takes no part. All else is no reason to hide it. */
function hides(errno: number): boolean {
  return errno !== -ENOENT && errno !== -ENOTDIR && errno !== -ELOOP;
}

/**
 * Whether the layers below `directory` take part under the same name: BELOW or 0, or a negative errno. Where it redirects,
 * those that take part are added to the stack here.
 */
function goesOn(union: Union, parent: Inode, directory: RealDirectory, stack: RealDirectory[]): number {
  if (isBottom(union, directory)) return 0;
  const marked = readMarks(union, directory);
  if (marked < 0) return hides(marked) ? marked : 0;
  if (directory.opaque) return 0;
  if (directory.redirect === undefined) return BELOW;
  return new Search(union, parent, directory.layer.index, directory.redirect).run(stack);
}

function isBottom(union: Union, directory: RealDirectory): boolean {
  return directory.layer.index === union.lowers.length - 1;
}

/** A file in a layer. */
export interface FilePlace {
  readonly directory: RealDirectory;
  readonly name: ByteString;
}

/** An empty value, or a digest of the data: either way the data is in a layer below (ovl_check_metacopy_xattr). */
export function isMetacopy(union: Union, dirfd: number, name: ByteString): boolean {
  return typeof getxattrText(dirfd, name, union.metacopyXattr) === 'string';
}

/**
 * Where the data of a metacopy is: in a layer below its own, under its name or where its redirect says; the path that
 * the data-only layers may have it under, where a lower layer has named one; undefined where it is nowhere.
 */
export function findData(
  union: Union,
  parent: Inode,
  layerIndex: number,
  name: ByteString,
  redirect: ByteString | undefined,
): FilePlace | ByteString | undefined {
  const search = new Search(union, parent, layerIndex, redirect ?? name);
  // What the upper says of data-only layers does not count (ovl_lookup: `ctr`).
  if (layerIndex >= 0) search.noteDataPath(redirect);
  const found = search.findFile();
  return found ?? (union.dataLayers.length > 0 ? search.dataPath : undefined);
}

/** What a step in one layer came to. */
const STEP = { found: 0, missing: 1, stop: 2 } as const;

/** Follows a redirect through the layers below the one that has it. */
class Search {
  readonly #union: Union;
  readonly #parent: Inode;
  /** Components of the path, from the layers' roots, or, with `#relative`, from the parent's lower directories. */
  #path: readonly ByteString[] = [];
  #relative = false;
  /** Layers up to this index are done with. */
  #below: number;
  /** The absolute redirect of the metacopy met last. */
  dataPath: ByteString | undefined = undefined;
  #ended = false;
  /** What kept it from looking further, or 0. */
  #failure = 0;

  constructor(union: Union, parent: Inode, below: number, redirect: ByteString) {
    this.#union = union;
    this.#parent = parent;
    this.#below = below;
    this.#take(redirect, []);
  }

  /** Answers 0 or a negative errno. */
  run(stack: RealDirectory[]): number {
    while (!this.#ended && this.#below < this.#union.lowers.length - 1) {
      this.#below++;
      const base = this.#base();
      const found = base === undefined ? undefined : this.#walk(base, this.#path.length);
      if (found !== undefined) stack.push(found);
    }
    return this.#failure;
  }

  /** The first layer below that has a regular file with its data there. */
  findFile(): FilePlace | undefined {
    while (!this.#ended && this.#below < this.#union.lowers.length - 1) {
      this.#below++;
      const base = this.#base();
      const name = this.#path[this.#path.length - 1] ?? '';
      const directory = base === undefined ? undefined : this.#walk(base, this.#path.length - 1);
      if (directory !== undefined && this.#hasData(directory, name)) return { directory, name };
    }
    return undefined;
  }

  /** Another metacopy is passed over, by its redirect where it has one; anything but a regular file ends the search. */
  #hasData(directory: RealDirectory, name: ByteString): boolean {
    const union = this.#union;
    const dirfd = union.fds.fd(directory);
    if (statat(dirfd, name, attr) < 0) {
      this.#ended ||= hasDotWhiteout(union, directory, name);
      return false;
    }
    if ((attr.mode & S_IFMT) !== S_IFREG) {
      this.#ended = true;
      return false;
    }
    // Where the directory is opaque, the search ends with this layer, but not before it.
    if (!isMetacopy(union, dirfd, name)) return true;
    const redirect = getxattrText(dirfd, name, union.redirectXattr);
    this.noteDataPath(redirect);
    if (typeof redirect === 'string') this.#take(redirect, this.#path.slice(0, -1));
    return false;
  }

  noteDataPath(redirect: ByteString | number | undefined): void {
    this.dataPath = typeof redirect === 'string' && redirect.startsWith('/') ? redirect : undefined;
  }

  /** Where the walk in the next layer begins. */
  #base(): RealDirectory | undefined {
    if (!this.#relative) return this.#union.lowers[this.#below]?.root;
    return this.#parent.lowers.find((lower) => lower.layer.index === this.#below);
  }

  /** Takes a redirect: absolute, or a name in the place of the last component before it. */
  #take(redirect: ByteString, before: readonly ByteString[]): void {
    if (redirectFault(redirect) !== undefined) {
      this.#ended = true;
      return;
    }
    const absolute = redirect.startsWith('/');
    const components = redirectPath(redirect);
    if (absolute) this.#relative = false;
    else if (before.length === 0 && this.#path.length === 0) this.#relative = true;
    this.#path = absolute ? components : [...before, ...components];
  }

  /** Goes down the first `depth` components in one layer. */
  #walk(base: RealDirectory, depth: number): RealDirectory | undefined {
    const path = this.#path;
    let directory = base;
    for (let at = 0; at < depth; at++) {
      const name = path[at] ?? '';
      const step = this.#step(directory, name);
      if (step === STEP.stop) this.#ended = true;
      if (step !== STEP.found) return undefined;
      directory = new RealDirectory(base.layer, directory, name);
      if (isBottom(this.#union, directory)) continue;
      const marked = readMarks(this.#union, directory);
      if (marked < 0) this.#fail(marked);
      else if (directory.opaque) this.#ended = true;
      // For the layers further down; the walk in this one goes on by the path that led here.
      else if (directory.redirect !== undefined) this.#redirectFrom(directory.redirect, path, at);
    }
    return directory;
  }

  #fail(errno: number): void {
    this.#ended = true;
    if (hides(errno)) this.#failure = errno;
  }

  #redirectFrom(redirect: ByteString, path: readonly ByteString[], at: number): void {
    this.#take(redirect, path.slice(0, at));
    if (!this.#ended) this.#path = [...this.#path, ...path.slice(at + 1)];
  }

  /** A whiteout or a file ends the search for all layers below. */
  #step(directory: RealDirectory, name: ByteString): number {
    const union = this.#union;
    const dirfd = union.fds.fd(directory);
    if (dirfd < 0) this.#fail(dirfd);
    if (dirfd < 0) return STEP.stop;
    if (statat(dirfd, name, attr) === 0) {
      return (attr.mode & S_IFMT) === S_IFDIR ? STEP.found : STEP.stop;
    }
    return hasDotWhiteout(union, directory, name) ? STEP.stop : STEP.missing;
  }
}
