import { type ByteString } from '../sys/bytes.ts';
import { DT_CHR, DT_DIR, DT_REG, DT_UNKNOWN, O_DIRECTORY, O_RDONLY, S_IFMT } from '../sys/constants.ts';
import { readDirectory } from '../sys/directory.ts';
import { ENOENT } from '../sys/errno.ts';
import { close, statat } from '../sys/file.ts';
import { DirectoryIndex, IndexEntry, UPPER } from './directory-index.ts';
import { addIndexed } from './indexed-layer.ts';
import { type Inode } from './inode.ts';
import { readMarks } from './marks.ts';
import { openWithoutTrace } from './real-file.ts';
import { type RealDirectory } from './real-directory.ts';
import { type Union } from './union.ts';
import { DOT_WHITEOUT, hasDotForm, hiddenBy, isDotMark, isWhiteoutDevice, isXattrWhiteout } from '../layer-format.ts';

/** The index of a directory whose entries are too many to be kept. */
const TOO_LARGE = 0;

/**
 * The merged index of a directory, from the cache or read now. Answers 0 where the directory is too large for one, or
 * a negative errno.
 */
export function loadIndex(union: Union, directory: Inode): DirectoryIndex | number {
  if (directory.tooLarge) return TOO_LARGE;
  const cached = union.indexes.get(directory);
  if (cached !== undefined) return cached;
  const index = directory.listed ?? readIndex(union, directory);
  if (typeof index === 'number') return index;
  if (index.size > union.indexes.maxEntries) {
    directory.tooLarge = true;
    return TOO_LARGE;
  }
  union.indexes.set(directory, index);
  return index;
}

/** Reads all layers of a directory. */
export function readIndex(union: Union, directory: Inode): DirectoryIndex | number {
  const index = new DirectoryIndex();
  if (directory.upper !== undefined) {
    const read = readLayer(union, directory.upper, UPPER, index);
    if (read < 0) return read;
  }
  for (let at = 0; at < directory.lowers.length; at++) {
    const lower = directory.lowers[at];
    if (lower === undefined) break;
    const read = readLayer(union, lower, at + 1, index);
    if (read < 0) return read;
  }
  index.trim();
  return index;
}

/**
 * What the layers have under one name: 0 for nothing, or a negative errno. From the index; for a directory too large
 * to have one, by asking each layer.
 */
export function findEntry(union: Union, directory: Inode, name: ByteString): IndexEntry | number {
  const index = loadIndex(union, directory);
  if (typeof index !== 'number') return index.get(name) ?? 0;
  return index === TOO_LARGE ? probeEntry(union, directory, name) : index;
}

function readLayer(union: Union, directory: RealDirectory, position: number, index: DirectoryIndex): number {
  const marked = position === UPPER ? 0 : readMarks(union, directory);
  if (marked < 0) return marked;
  if (addIndexed(directory, position, index)) return 0;
  const dirfd = union.fds.fd(directory);
  if (dirfd < 0) return dirfd;
  // The union reads it once for many requests, of which most are not to list it.
  const fd = openWithoutTrace(directory.layer, dirfd, '.', O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fd;
  const hidden: ByteString[] = [];
  const read = readDirectory(fd, (name, type, ino) => {
    if (hasDotForm(name) && (union.reservesDotNames || isDotMark(dirfd, name))) {
      const target = hiddenBy(name);
      if (target !== undefined) hidden.push(target);
    } else {
      addEntry(union, directory, dirfd, position, index.edit(name), name, type, ino);
    }
  });
  close(fd);
  for (const name of hidden) addDotWhiteout(index.edit(name), position);
  return read;
}

function addEntry(
  union: Union,
  directory: RealDirectory,
  dirfd: number,
  position: number,
  entry: IndexEntry,
  name: ByteString,
  direntType: number,
  ino: number,
): void {
  let type = direntType;
  let whiteout = false;
  if (type === DT_CHR || type === DT_UNKNOWN) {
    if (statat(dirfd, name, union.scratch) < 0) return;
    type = (union.scratch.mode & S_IFMT) >> 12;
    whiteout = isWhiteoutDevice(union.scratch);
  } else if (type === DT_REG && directory.xattrWhiteouts) {
    whiteout = isXattrWhiteout(dirfd, name);
  }
  const unique = directory.layer.uniqueIno(ino);
  if (position === UPPER) entry.addUpper(type, unique, whiteout);
  else entry.addLower(position, type, unique, whiteout);
}

/** `.wh.NAME` hides NAME in the layers below its own; a NAME beside it stays. */
function addDotWhiteout(entry: IndexEntry, position: number): void {
  if (position === UPPER) {
    entry.dotWhiteout = true;
    if (!entry.inUpper) entry.addUpper(DT_UNKNOWN, 0, true);
  } else if (entry.lower === position) {
    entry.sealed = true;
  } else {
    entry.addLower(position, DT_UNKNOWN, 0, true);
  }
}

const probe = { found: false, type: 0, ino: 0, whiteout: false };

function probeEntry(union: Union, directory: Inode, name: ByteString): IndexEntry | number {
  const entry = new IndexEntry();
  if (directory.upper !== undefined) {
    const failed = probeLayer(union, directory.upper, name);
    if (failed < 0) return failed;
    if (probe.found) entry.addUpper(probe.type, probe.ino, probe.whiteout);
    if (hasDotWhiteout(union, directory.upper, name)) addDotWhiteout(entry, UPPER);
  }
  for (let at = 0; at < directory.lowers.length && !entry.sealed; at++) {
    const lower = directory.lowers[at];
    if (lower === undefined) break;
    const failed = probeLayer(union, lower, name);
    if (failed < 0) return failed;
    if (probe.found) entry.addLower(at + 1, probe.type, probe.ino, probe.whiteout);
    if (hasDotWhiteout(union, lower, name)) addDotWhiteout(entry, at + 1);
  }
  return entry;
}

/** Fills `probe` with what one layer has under `name`. */
function probeLayer(union: Union, directory: RealDirectory, name: ByteString): number {
  const attr = union.scratch;
  const dirfd = union.fds.fd(directory);
  if (dirfd < 0) return dirfd;
  const done = statat(dirfd, name, attr);
  probe.found = done === 0 && !(hasDotForm(name) && isDotMark(dirfd, name));
  if (done < 0) return done === -ENOENT ? 0 : done;
  probe.type = (attr.mode & S_IFMT) >> 12;
  probe.ino = directory.layer.uniqueIno(attr.ino);
  probe.whiteout =
    isWhiteoutDevice(attr) || (probe.type !== DT_DIR && directory.xattrWhiteouts && isXattrWhiteout(dirfd, name));
  return 0;
}

export function hasDotWhiteout(union: Union, directory: RealDirectory, name: ByteString): boolean {
  const dirfd = union.fds.fd(directory);
  return dirfd >= 0 && isDotMark(dirfd, DOT_WHITEOUT + name);
}
