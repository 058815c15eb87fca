import { type DirectorySink, type Entry } from '../filesystem.ts';
import { type ByteString } from '../sys/bytes.ts';
import { DT_DIR, DT_REG } from '../sys/constants.ts';
import { type IndexEntry, type DirectoryIndex } from './directory-index.ts';
import { grant } from './create.ts';
import { type Handle } from './handle.ts';
import { type Inode } from './inode.ts';
import { ABSENT, resolve } from './lookup.ts';
import { loadIndex, readIndex } from './merge.ts';
import { NO_OVERRIDE } from './stat-override.ts';
import { type Union } from './union.ts';

/** Offsets 0 and 1 are `.` and `..`; the names follow. */
const DOTS = 2;

/** The names that a reader goes through. */
export interface Listing {
  readonly index: DirectoryIndex;
  /** The index's `order` when the reading began, in which the cursor is a place, and its length then. */
  readonly order: readonly (ByteString | undefined)[];
  readonly end: number;
}

/**
 * So many names of a directory come with their attributes, for which else most readers would ask one by one. Behind them,
 * which of a directory that large is often all that is wanted, names do as long as nobody has looked one up.
 */
const WITH_ATTRIBUTES = 4096;

/**
 * Gives the entries of an open directory from `offset` on. The names are those of the moment when reading began (at
 * offset 0) that are still there: an offset stays good whatever is made or removed meanwhile, and no name comes twice.
 */
export function readEntries(union: Union, handle: Handle, offset: number, sink: DirectorySink): number {
  const { inode } = handle;
  if (inode.unlinked) return 0;
  if (handle.index === undefined || offset === 0) {
    const index = indexToList(union, inode);
    if (typeof index === 'number') return index;
    handle.list(index);
  }
  const { index, order, end } = handle;
  if (index === undefined) return 0;
  addEntries(union, inode, { index, order, end }, 0, offset, sink);
  if (offset === 0) foresee(union, inode, index);
  return 0;
}

/** A directory's first names, with their attributes, were given to somebody who may want the files next. */
export function foresee(union: Union, directory: Inode, index: DirectoryIndex): void {
  union.readAhead.listed(union, directory, index);
  union.copyAhead.listed(union, directory);
}

/**
 * Adds the entries from `offset` on that fit; answers whether there were any.
 *
 * @param base what is added to the offsets that the reader goes on by.
 */
export function addEntries(
  union: Union,
  inode: Inode,
  { index, order, end }: Listing,
  base: number,
  offset: number,
  sink: DirectorySink,
): boolean {
  if (offset < DOTS && !addDots(inode, offset, sink)) return true;
  const known = union.lookedInto === inode ? end : Math.min(end, WITH_ATTRIBUTES);
  let added = offset < DOTS;
  for (let at = Math.max(offset, DOTS); at - DOTS < end; at++) {
    const name = order[at - DOTS];
    const entry = name === undefined ? undefined : index.get(name);
    if (name === undefined || entry?.visible !== true) continue;
    if (!sink.fits(name)) return true;
    added = true;
    sink.entry.node = 0;
    if (sink.plus && at - DOTS < known) addPlus(union, inode, name, base + at + 1, sink);
    else addPlain(union, inode, entry, name, base + at + 1, sink);
  }
  return added;
}

/** The index to list a directory by, or a negative errno. */
export function indexToList(union: Union, directory: Inode): DirectoryIndex | number {
  const index = loadIndex(union, directory);
  union.lookAhead?.listed(union, directory);
  // Too large for the cache: it lasts for as long as somebody reads it.
  return index === 0 ? (directory.listed ?? readIndex(union, directory)) : index;
}

/** Answers false where they do not fit. */
function addDots(inode: Inode, offset: number, sink: DirectorySink): boolean {
  sink.entry.node = 0;
  if (offset < 1) {
    if (!sink.fits('.')) return false;
    sink.add('.', inode.ino, DT_DIR, 1);
  }
  if (!sink.fits('..')) return false;
  sink.add('..', (inode.parent ?? inode).ino, DT_DIR, 2);
  return true;
}

function addPlus(union: Union, parent: Inode, name: ByteString, next: number, sink: DirectorySink): void {
  const { entry } = sink;
  const inode = resolve(union, parent, name, entry.attr);
  if (inode === ABSENT) return;
  if (typeof inode === 'number') addUnreadable(union, parent, name, next, sink, entry);
  else {
    // What its link count took is read by now.
    if (inode.isDirectory) union.lookAhead?.listed(union, inode);
    grant(union, entry, inode);
    sink.add(name, inode.ino, inode.type >> 12, next);
  }
}

/** A file whose attributes cannot be had is listed all the same: asking for them will tell why. */
function addUnreadable(
  union: Union,
  parent: Inode,
  name: ByteString,
  next: number,
  sink: DirectorySink,
  entry: Entry,
): void {
  entry.node = 0;
  addPlain(union, parent, union.indexes.peek(parent)?.get(name), name, next, sink);
}

function addPlain(
  union: Union,
  parent: Inode,
  entry: IndexEntry | undefined,
  name: ByteString,
  next: number,
  sink: DirectorySink,
): void {
  const known = parent.children?.get(name);
  if (known !== undefined) {
    sink.add(name, known.ino, known.type >> 12, next);
    return;
  }
  if (entry?.visible !== true) return;
  if (entry.type === DT_REG && mayStandIn(parent, entry)) {
    addResolved(union, parent, name, next, sink);
    return;
  }
  const ino = entry.inUpper ? inoInUpper(union, parent, entry, name) : entry.lowerIno;
  if (ino >= 0) sink.add(name, ino, entry.type, next);
}

/** A regular file that its record may say is of another type. */
function mayStandIn(parent: Inode, entry: IndexEntry): boolean {
  const directory = entry.inUpper ? parent.upper : parent.lowers[entry.lower - 1];
  return directory !== undefined && directory.layer.override !== NO_OVERRIDE;
}

function addResolved(union: Union, parent: Inode, name: ByteString, next: number, sink: DirectorySink): void {
  const inode = resolve(union, parent, name, undefined);
  if (typeof inode === 'number') return;
  sink.add(name, inode.ino, inode.type >> 12, next);
  union.inodes.release(inode);
}

/** A directory that is merged and a file that was copied up show their lower part's number: their xattrs tell. */
function inoInUpper(union: Union, parent: Inode, entry: IndexEntry, name: ByteString): number {
  if (entry.upperType !== DT_DIR && parent.upper?.impure !== true) return entry.upperIno;
  const inode = resolve(union, parent, name, undefined);
  if (typeof inode === 'number') return inode === ABSENT ? -1 : entry.upperIno;
  const { ino } = inode;
  union.inodes.release(inode);
  return ino;
}
