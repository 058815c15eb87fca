import { Attr as AttrBuffer, type Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFDIR, S_IFMT, S_IFREG } from '../sys/constants.ts';
import { EIO, ENAMETOOLONG, ENOENT, ENOTDIR, ESTALE } from '../sys/errno.ts';
import { close, fstat, statat } from '../sys/file.ts';
import { SELF } from '../sys/xattr.ts';
import { isKnownBare, isKnownPlain, statIndexed, statIndexedDirectory, statIndexedInode } from './indexed-layer.ts';
import { LACKS, type Inode } from './inode.ts';
import { type IndexEntry } from './directory-index.ts';
import { hexOf, originIno, readOrigin } from './file-handle.ts';
import { type Layer } from './layer.ts';
import { indexNameOf, readLowerLinks } from './link-index.ts';
import { mayBeMetacopy, presentBlocks, takeIndexedMetacopy, takeMetacopy } from './metacopy.ts';
import { isSmall } from './give-content.ts';
import { findEntry, loadIndex } from './merge.ts';
import { COUNTER } from './options.ts';
import { protectionIn } from './protection.ts';
import { RealDirectory } from './real-directory.ts';
import { stackLowers } from './stack.ts';
import { showOverride, statShown } from './stat-override.ts';
import { type Union } from './union.ts';
import { hasDotForm } from '../layer-format.ts';

/** The union has no file of this name. */
export const ABSENT = 0;

/** NAME_MAX of every filesystem that can be a layer; FUSE itself lets 1,024 bytes through. */
export const NAME_MAX = 255;

/** What fits a page has none worth sharing, which saves each of the many small files a look at how it begins. */
const SMALLEST_PROGRAM = 4096;

/**
 * The inode of `name` in `parent`: ABSENT, or a negative errno. It may be one that the kernel does not know: the caller
 * gives it to the kernel or calls `inodes.release`.
 *
 * @param attr filled with its attributes as users see them; undefined where they are not wanted.
 */
export function resolve(union: Union, parent: Inode, name: ByteString, attr: Attr | undefined): Inode | number {
  if (!parent.isDirectory) return -ENOTDIR;
  if (name.length > NAME_MAX) return -ENAMETOOLONG;
  if (parent.unlinked) return -ENOENT;
  const known = parent.children?.get(name);
  if (known !== undefined) {
    union.count(COUNTER.cacheHits);
    const failed = attr === undefined ? 0 : statInode(union, known, attr);
    return failed < 0 ? failed : known;
  }
  if (union.reservesDotNames && hasDotForm(name)) return ABSENT;
  const entry = findEntry(union, parent, name);
  if (typeof entry === 'number') return entry;
  if (!entry.visible) return ABSENT;
  return instantiate(union, parent, name, entry, attr ?? union.scratch);
}

/** Attributes of a file as users see them. */
export function statInode(union: Union, inode: Inode, attr: Attr): number {
  const done = statIndexedInode(inode, attr)
    ? 0
    : statShown(union.layerOf(inode), union.dirfdOf(inode), union.nameOf(inode), attr);
  if (done < 0) return inode.unlinked ? -ESTALE : done;
  return presentStated(union, inode, attr);
}

/** Turns what stat says of an inode's file into what users see; answers 0. */
export function presentStated(union: Union, inode: Inode, attr: Attr): number {
  present(union, inode, attr);
  if (inode.metacopy) presentBlocks(union, inode, attr);
  return 0;
}

/** As `statInode`, through an open file. */
export function statOpen(union: Union, inode: Inode, fd: number, attr: Attr): number {
  const done = fstat(fd, attr);
  if (done < 0) return done;
  showOverride(union.layerOf(inode), fd, SELF, attr);
  present(union, inode, attr);
  return 0;
}

/** Turns real attributes into those that users see. */
export function present(union: Union, inode: Inode, attr: Attr): void {
  attr.ino = inode.ino;
  if (inode.isDirectory) presentDirectoryLinks(union, inode, attr);
  else if (inode.lowerLinks !== 0) attr.nlink += inode.lowerLinks;
  else if (inode.lostLinks > 0 && !inode.isUpper) attr.nlink = Math.max(0, attr.nlink - inode.lostLinks);
  else if (inode.unlinked && !inode.isUpper) attr.nlink = 0;
  if (!union.owners.identity) {
    attr.uid = union.owners.uid.shown(attr.uid);
    attr.gid = union.owners.gid.shown(attr.gid);
  }
}

/**
 * Of a merged directory, as POSIX has it: one link from its name, one from itself, one from each subdirectory. Overlayfs
 * says 1, "unknown" (ovl_getattr), as do we for a directory too large for an index. That of one layer knows its own.
 */
function presentDirectoryLinks(union: Union, inode: Inode, attr: Attr): void {
  if (inode.unlinked) attr.nlink = 0;
  else if (union.options.staticNlink === true) attr.nlink = 1;
  else if (inode.lowers.length + (inode.upper === undefined ? 0 : 1) > 1) {
    const index = loadIndex(union, inode);
    attr.nlink = typeof index === 'number' ? 1 : 2 + index.subdirectories;
  }
}

function instantiate(union: Union, parent: Inode, name: ByteString, entry: IndexEntry, attr: Attr): Inode | number {
  const top = entry.inUpper ? parent.upper : parent.lowers[entry.lower - 1];
  if (top === undefined) return -EIO;
  const done = statIndexed(top, name, attr) ? 0 : statShown(top.layer, union.fds.fd(top), name, attr);
  if (done < 0) return done;
  const type = attr.mode & S_IFMT;
  const inode =
    type === S_IFDIR
      ? createDirectory(union, parent, name, entry, top.layer.uniqueIno(attr.ino, attr.dev))
      : createFile(union, parent, name, top, attr, type);
  if (typeof inode === 'number') return inode;
  if (!inode.isUpper) inode.protection = protectionIn(attr);
  else if (inode.isDirectory || inode.real === top) inode.protection |= protectionIn(attr);
  if (inode.real !== undefined && inode.real !== top) return refill(union, inode, attr);
  present(union, inode, attr);
  if (inode.metacopy) presentBlocks(union, inode, attr);
  return inode;
}

/** The name led to a file that is reached by another one: its attributes are there. */
function refill(union: Union, inode: Inode, attr: Attr): Inode | number {
  const failed = statInode(union, inode, attr);
  return failed < 0 ? failed : inode;
}

function createFile(
  union: Union,
  parent: Inode,
  name: ByteString,
  real: RealDirectory,
  attr: Attr,
  type: number,
): Inode {
  const { layer } = real;
  // Also with one link: the others may have gone while the file was known by one of them.
  // A filesystem mounted inside the layer has inode numbers of its own.
  const inLayer = attr.dev === layer.dev;
  const known = !inLayer || layer.linked.size === 0 ? undefined : layer.linked.get(attr.ino);
  if (known !== undefined) return addAlias(known, parent, name, real);
  if (attr.nlink > 1 && !layer.writable && inLayer) {
    const indexed = findIndexed(union, parent, name, real, attr, type);
    if (indexed !== undefined) return indexed;
  }
  const inode = union.inodes.create(type, layer.uniqueIno(attr.ino, attr.dev), parent, name);
  inode.real = real;
  inode.realName = name;
  if (attr.size < SMALLEST_PROGRAM) inode.isProgram = false;
  if (!layer.writable) inode.contentDue = type === S_IFREG && isSmall(attr.size);
  if (!layer.writable) inode.lowerNlink = inLayer ? attr.nlink : 1;
  else if (real.impure) takeOrigin(union, inode, real, attr);
  const isBare = isKnownBare(real, name);
  if (isBare) inode.lacks = LACKS.all;
  else if (type === S_IFREG && mayBeMetacopy(union, real, attr)) takeMetacopy(union, inode, parent, real, name);
  if (attr.nlink > 1 && inLayer) registerLinks(inode, layer, attr.ino);
  else if (layer.keptInos.has(attr.ino)) inode.realIno = attr.ino;
  return inode;
}

/** The inode of a lower file of several names that was copied up under another of them. */
function findIndexed(
  union: Union,
  parent: Inode,
  name: ByteString,
  real: RealDirectory,
  attr: Attr,
  type: number,
): Inode | undefined {
  const { index } = union;
  const entryName = indexNameOf(union, real.layer, union.fds.fd(real), name, type);
  if (index === undefined || entryName === undefined) return undefined;
  if (statat(union.fds.fd(index), entryName, indexed) < 0) return undefined;
  const known = index.layer.linked.get(indexed.ino);
  const inode =
    known === undefined
      ? union.inodes.create(type, real.layer.uniqueIno(attr.ino), parent, name)
      : addAlias(known, parent, name, real);
  if (known === undefined) {
    reachByIndex(union, inode, index, entryName, indexed.ino);
    if (type === S_IFREG) takeIndexedMetacopy(union, inode, parent, index, real, name);
  }
  inode.origin = real.layer;
  inode.originIno = attr.ino;
  real.layer.linked.set(attr.ino, inode);
  return inode;
}

const indexed = new AttrBuffer();

function reachByIndex(union: Union, inode: Inode, index: RealDirectory, entryName: ByteString, ino: number): void {
  inode.real = index;
  inode.realName = entryName;
  inode.indexName = entryName;
  inode.hasOrigin = true;
  inode.lowerLinks = readLowerLinks(union, union.fds.fd(index), entryName);
  registerLinks(inode, index.layer, ino);
}

/** A file that was copied up keeps its number; one of several names is reached by the index. */
function takeOrigin(union: Union, inode: Inode, real: RealDirectory, attr: Attr): void {
  const origin = readOrigin(union, union.fds.fd(real), inode.name);
  if (origin === undefined) return;
  inode.hasOrigin = true;
  const { index } = union;
  const entryName = attr.nlink <= 1 || index === undefined ? '' : hexOf(origin);
  const isIndexed = index !== undefined && entryName !== '' && statat(union.fds.fd(index), entryName, indexed) === 0;
  // The lower file got further names after this one was copied up, and those are another file: the number is theirs.
  if (isIndexed && indexed.ino !== attr.ino) return;
  inode.ino = originIno(union, origin) || inode.ino;
  if (isIndexed) reachByIndex(union, inode, index, entryName, attr.ino);
}

/** Makes all names of a file with hard links lead to `inode`. */
export function registerLinks(inode: Inode, layer: Layer, ino: number): void {
  inode.realIno = ino;
  inode.linkedIn = layer;
  layer.linked.set(ino, inode);
}

/** @param real the directory in which the layer has the name. */
export function addAlias(inode: Inode, parent: Inode, name: ByteString, real: RealDirectory): Inode {
  const isKnown = inode.parent !== undefined && parent.children?.get(name) === inode;
  if (isKnown) return inode;
  parent.addChild(name, inode);
  if (inode.parent === undefined) {
    inode.parent = parent;
    inode.name = name;
    if (inode.indexName !== '') inode.unlinked = false;
    else if (real.layer.writable) nameAgain(inode, real, name);
    return inode;
  }
  inode.aliases ??= [];
  inode.aliases.push({ parent, name });
  return inode;
}

/** A file that had lost its last known name is reached by a name again. */
export function nameAgain(inode: Inode, real: RealDirectory, name: ByteString): void {
  inode.real = real;
  inode.realName = name;
  inode.unlinked = false;
  if (inode.pinned >= 0) close(inode.pinned);
  inode.pinned = -1;
}

/**
 * Makes the inode of a directory with its stack: the layers in which the name is a directory, from the top to the
 * first that is opaque.
 */
function createDirectory(
  union: Union,
  parent: Inode,
  name: ByteString,
  entry: IndexEntry,
  topIno: number,
): Inode | number {
  const { upper } = parent;
  const own = entry.inUpper && upper !== undefined ? new RealDirectory(upper.layer, upper, name) : undefined;
  const lowers = stackLowers(union, parent, name, entry, own);
  if (typeof lowers === 'number') return lowers;
  const inode = union.inodes.create(S_IFDIR, topIno, parent, name);
  inode.upper = own;
  inode.lowers = lowers;
  // The number of the topmost lower directory: it stays the same when the upper one comes into being.
  const lower = inode.lowers[0];
  if (own === undefined && lower !== undefined && isKnownPlain(lower)) inode.lacks = LACKS.all;
  if (lower !== undefined) inode.ino = isInPlace(lower, parent, name) ? entry.lowerIno : inoOf(union, lower);
  return inode;
}

/** The lower directory is where its name says, not where a redirect led. */
function isInPlace(lower: RealDirectory, parent: Inode, name: ByteString): boolean {
  return lower.name === name && lower.parent !== undefined && parent.lowers.includes(lower.parent);
}

function inoOf(union: Union, directory: RealDirectory): number {
  const stated = statIndexedDirectory(directory, union.scratch) ? 0 : fstat(union.fds.fd(directory), union.scratch);
  return stated < 0 ? 0 : directory.layer.uniqueIno(union.scratch.ino);
}
