import { Attr, encodeDevice } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import {
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  AT_REMOVEDIR,
} from '../sys/constants.ts';
import { EDQUOT, EIO, ENOSPC, EROFS } from '../sys/errno.ts';
import { close, fstat, ftruncate, openat, renameat2, statat, unlinkat } from '../sys/file.ts';
import { type FileOffset } from '../sys/file-offset.ts';
import { Memory } from '../sys/memory.ts';
import { keepUmask } from '../sys/metadata.ts';
import { SELF, setxattrText } from '../sys/xattr.ts';
import { type AttrChange, DEFERRED } from '../filesystem.ts';
import { type Prepared, discardPrepared } from './copy-ahead.ts';
import { cloneData, copyContents } from './copy-data.ts';
import { ALL, METADATA, copyLength } from './copy-limit.ts';
import { copyMetadata, copyTimes } from './copy-metadata.ts';
import { giveAttributes } from './given-attributes.ts';
import { LACKS, type Inode } from './inode.ts';
import { COUNTER } from './options.ts';
import { copyFlags, copyProtection } from './protection.ts';
import { RealDirectory } from './real-directory.ts';
import { markPlain, needsPlainMark } from './dot-names.ts';
import { encodeHandle } from './file-handle.ts';
import { addToIndex, indexNameOf } from './link-index.ts';
import { registerLinks } from './lookup.ts';
import { forgetData, openData } from './metacopy.ts';
import { reopenHandles } from './handle-files.ts';
import { copyMode, makeReal, openCopy } from './make-real.ts';
import { readTarget } from './read-target.ts';
import { beginSettling, settle } from './settle.ts';
import { NO_OVERRIDE, statLayer } from './stat-override.ts';
import { linkLowerName, markImpure } from './upper-names.ts';
import { PENDING, SLOW_SIZE } from './slow-lane.ts';
import { type Union } from './union.ts';
import { formatMetacopy, measureDigest } from './verity.ts';
import { type Workdir } from './workdir.ts';

const linkTarget = new Memory(4097);
/** Of the file that is copied. */
let source = new Attr();
const parentAttr = new Attr();

/** What a copy is given beside what its file has, so that both are one change. */
export interface Given {
  change: AttrChange;
  /** Filled with the copy's attributes once it is in its place, where `isStated` then says so. */
  attr: Attr;
  isStated: boolean;
}

/**
 * Makes sure that a file is in the upper layer, where it can be changed; its parents first.
 *
 * The copy is made whole in the workdir and then renamed into place, the commit point: a crash or ENOSPC before it
 * leaves the lower file visible and nothing else.
 *
 * The copy has a time of change and blocks of its own. Most requests that copy up have the kernel ask for attributes
 * anyway, or answer them; those that do not are to say `attributesChanged`.
 *
 * @param limit how much of the data; see copy-limit.ts.
 * @param given not where owners are kept in records.
 */
export function ensureUpper(union: Union, inode: Inode, limit: FileOffset = ALL, given?: Given): number {
  if (inode.isUpper) return 0;
  const { workdir } = union;
  if (workdir === undefined) return -EROFS;
  if (inode.parent === undefined) return copyUpNameless(union, workdir, inode, limit, given);
  const raised = ensureUpper(union, inode.parent);
  if (raised < 0) return raised;
  const temporary = temporaryOf(union, workdir, inode);
  let copied = copyTo(union, workdir, inode, temporary, limit, given);
  if (isFull(copied) && makeRoom(union, workdir, inode, temporary))
    copied = copyTo(union, workdir, inode, temporary, limit, given);
  if (copied === DEFERRED) return DEFERRED;
  const placed = copied < 0 ? copied : place(union, workdir, inode, inode.parent, temporary, given);
  if (placed < 0) unlinkat(workdir.fd, temporary, inode.isDirectory ? AT_REMOVEDIR : 0);
  return placed;
}

/** Answers false where no copies that nobody has come for take any. */
function makeRoom(union: Union, workdir: Workdir, inode: Inode, temporary: ByteString): boolean {
  if (!union.copyAhead.isUnderWay) return false;
  union.copyAhead.drop(union, workdir);
  unlinkat(workdir.fd, temporary, inode.isDirectory ? AT_REMOVEDIR : 0);
  copy.prepared = undefined;
  copy.unsettled = false;
  return true;
}

function isFull(errno: number): boolean {
  return errno === -ENOSPC || errno === -EDQUOT;
}

/** What is known of the copy that is being made. */
interface Copy {
  /** By which it is reached: a regular file by its own descriptor. */
  dirfd: number;
  name: ByteString;
  /** A copy of its data that was there already. */
  prepared: Prepared | undefined;
  /** Its data is not known to be on disk. */
  unsettled: boolean;
}

const copy: Copy = { dirfd: -1, name: SELF, prepared: undefined, unsettled: false };

/** The name in the workdir of the copy that is about to be made, or goes on. */
function temporaryOf(union: Union, workdir: Workdir, inode: Inode): ByteString {
  copy.unsettled = false;
  const isTaken = inode.copying === undefined && !union.slowness.isExpected;
  copy.prepared = isTaken ? union.copyAhead.claim(union, inode) : undefined;
  return inode.copying?.temporary ?? copy.prepared?.temporary ?? workdir.temporaryName();
}

/** Makes a copy of `inode`'s lower file in the workdir; `source` holds its attributes afterwards. */
function copyTo(
  union: Union,
  workdir: Workdir,
  inode: Inode,
  temporary: ByteString,
  limit: FileOffset,
  given: Given | undefined,
): number {
  const dirfd = union.dirfdOf(inode);
  const name = union.nameOf(inode);
  const stated = takeAttributes(union, inode, dirfd, name);
  if (stated < 0) return stated;
  if (inode.copying === undefined) union.count(COUNTER.copyUps);
  shell = false;
  const made =
    inode.type === S_IFREG
      ? copyRegular(union, workdir, inode, temporary, limit)
      : makeSpecial(union, workdir, inode, temporary);
  if (made < 0) return made;
  // The disk writes the data meanwhile.
  if (copy.unsettled) union.copyAhead.follow(union, workdir, inode, copy.prepared !== undefined);
  let done = describe(union, inode, dirfd, name, given);
  // Before the rename, or a power cut could leave the new name without its data.
  if (done >= 0 && copy.unsettled && copy.prepared?.isSettled !== true) done = settleNow(union, copy.dirfd);
  if (inode.type === S_IFREG) close(copy.dirfd);
  return done;
}

/** Has `source` tell what the file is like; those who have copied it ahead have asked. */
function takeAttributes(union: Union, inode: Inode, dirfd: number, name: ByteString): number {
  if (copy.prepared === undefined) return statLayer(union.layerOf(inode), dirfd, name, source);
  union.copyAhead.recycle(source);
  source = copy.prepared.attr;
  return 0;
}

function settleNow(union: Union, fd: number): number {
  const begin = performance.now();
  const settled = settle(fd, union.settle);
  union.slowness.waited(performance.now() - begin);
  return settled;
}

/** Gives the copy all that the file has beside its data. */
function describe(union: Union, inode: Inode, dirfd: number, name: ByteString, given: Given | undefined): number {
  let copied = copy.prepared === undefined || copy.prepared.slot < 0 ? copyAllElse(union, inode, dirfd, name) : 0;
  if (copied === 0 && needsPlainMark(union, inode.name, inode.type)) copied = markPlain(copy.dirfd, copy.name);
  // As a copy of the lane's always has.
  if (copied === 0 && copy.prepared !== undefined && copy.prepared.slot >= 0) inode.hasOrigin = true;
  if (copied < 0 || given === undefined) return copied;
  return giveAttributes(union, inode.type, copy.dirfd, copy.name, given.change);
}

function copyAllElse(union: Union, inode: Inode, dirfd: number, name: ByteString): number {
  const layer = union.layerOf(inode);
  const isBare = isKnownBare(union, inode) && layer?.override === NO_OVERRIDE;
  const made = inode.type === S_IFREG || inode.isDirectory ? copyMode(union, source.mode) : -1;
  let copied = copyMetadata(union, layer, dirfd, name, source, copy.dirfd, copy.name, isBare, made);
  if (copied === 0) copied = copyProtection(union, source, copy.dirfd, copy.name);
  if (copied === 0 && !shell) keepNumber(union, inode, dirfd, name);
  return copied;
}

/** Whether a file's own filesystem has said that it has no xattr. */
function isKnownBare(union: Union, inode: Inode): boolean {
  if ((inode.lacks & LACKS.all) !== 0) return true;
  return union.isSoleWriter && inode.isDirectory && inode.lowers[0]?.isBare === true;
}

/**
 * Whether the copy will go on showing its lower file's inode number after a remount. Without an index, the lower's other
 * names will then be another file, and show it, too (ovl_do_copy_up).
 */
function keepsNumber(union: Union, inode: Inode): boolean {
  return !inode.isDirectory && (union.index !== undefined || !hasLinks(inode));
}

/** Tells where the copy came from, for its inode number; where that cannot be kept, the copy is right all the same. */
function keepNumber(union: Union, inode: Inode, dirfd: number, name: ByteString): void {
  if (!keepsNumber(union, inode)) return;
  const layer = union.layerOf(inode);
  const handle = layer === undefined ? undefined : encodeHandle(union, layer, dirfd, name);
  if (handle === undefined) return;
  setxattrText(copy.dirfd, copy.name, union.originXattr, handle);
  inode.hasOrigin = true;
}

/** Leaves the copy open, as `copy` has it, unless it fails or is put off. */
function copyRegular(union: Union, workdir: Workdir, inode: Inode, temporary: ByteString, limit: FileOffset): number {
  copy.name = SELF;
  if (inode.copying !== undefined) return takeCopy(union, workdir, inode, limit);
  const length = copyLength(limit, source.exactSize);
  if (takePrepared(union, workdir, limit, length)) return 0;
  const to = openCopy(union, workdir.fd, temporary, source.mode);
  if (to < 0) return to;
  copy.dirfd = to;
  shell = limit === METADATA && makeShell(union, inode, to);
  const copied = shell ? 0 : fill(union, inode, temporary, to, length);
  if (copied < 0 && copied !== DEFERRED) close(to);
  return copied;
}

/** Whether there is a copy that was made ahead, and it will do; else it is gone, and its name free. */
function takePrepared(union: Union, workdir: Workdir, limit: FileOffset, length: FileOffset): boolean {
  const { prepared } = copy;
  if (prepared === undefined) return false;
  const isMetacopy = limit === METADATA && union.options.metacopy === true;
  copy.unsettled = !isMetacopy && length === source.exactSize;
  if (copy.unsettled) {
    copy.dirfd = prepared.fd;
    union.count(COUNTER.copyUpBytes, Number(length));
  } else {
    discardPrepared(workdir, prepared);
    copy.prepared = undefined;
  }
  return copy.unsettled;
}

/**
 * The end of a copy that the slow lane has made: DEFERRED while it has not. A request that needs more of the file than
 * the one for which it was begun copies the rest.
 */
function takeCopy(union: Union, workdir: Workdir, inode: Inode, limit: FileOffset): number {
  const { copying } = inode;
  if (copying === undefined || union.slowLane === undefined) return -EIO;
  let copied = union.slowLane.take(copying.job);
  if (copied === PENDING) return DEFERRED;
  inode.copying = undefined;
  const wanted = copyLength(limit, source.exactSize);
  if (copied === 0 && wanted > copying.length) {
    copied = copyContents(copying.from, copying.to, wanted, 0, union.settle) || settle(copying.to, union.settle);
  }
  copyFlags(copying.from, copying.to);
  close(copying.from);
  copy.dirfd = copying.to;
  if (copied < 0) {
    close(copying.to);
    unlinkat(workdir.fd, copying.temporary);
  }
  return copied;
}

/** The copy that was made last is a metacopy. */
let shell = false;

/**
 * Makes a new file a metacopy, of the right size and without data; false where the data has to come along.
 *
 * Its origin comes first, as in overlayfs (ovl_copy_up_metadata). An inode of ext4 has no room for both, and what comes last
 * gets a block: the mark is the same in all metacopies, which then share that.
 */
function makeShell(union: Union, inode: Inode, to: number): boolean {
  if (union.options.metacopy !== true || source.size === 0 || source.nlink > 1) return false;
  const value = metacopyValue(union, inode);
  if (value === undefined) return false;
  keepNumber(union, inode, union.dirfdOf(inode), union.nameOf(inode));
  return setxattrText(to, SELF, union.metacopyXattr, value) === 0 && ftruncate(to, source.exactSize) === 0;
}

/** With the digest of the data under `verity`; undefined where that is required and there is none (ovl_need_meta_copy_up). */
function metacopyValue(union: Union, inode: Inode): ByteString | undefined {
  const { verity } = union.options;
  if (verity === undefined || verity === 'off') return formatMetacopy(undefined);
  const fd = openData(union, inode, O_RDONLY | O_NONBLOCK);
  const digest = fd < 0 ? undefined : measureDigest(fd);
  if (fd >= 0) close(fd);
  return digest === undefined && verity === 'require' ? undefined : formatMetacopy(digest);
}

function fill(union: Union, inode: Inode, temporary: ByteString, to: number, length: FileOffset): number {
  const from = openData(union, inode, O_RDONLY | O_NONBLOCK);
  if (from < 0) return from;
  const layer = inode.data?.layer ?? union.layerOf(inode);
  union.count(COUNTER.copyUpBytes, Number(length));
  copyFlags(from, to);
  if (layer !== undefined && length === source.exactSize && cloneData(layer, from, to)) {
    close(from);
    return 0;
  }
  const isSlow = typeof length === 'number' && (length >= SLOW_SIZE || (length > 0 && union.slowness.isExpected));
  const job = !isSlow ? -1 : (union.slowLane?.copy(from, to, length, source.blocks, union.settle) ?? -1);
  if (job >= 0) {
    union.slowness.spared();
    inode.copying = { temporary, from, to, length, job };
    return DEFERRED;
  }
  const copied = copyContents(from, to, length, source.blocks, union.settle);
  close(from);
  copy.unsettled = copied === 0 && length !== 0;
  if (copy.unsettled) beginSettling(to, union.settle);
  return copied;
}

function makeSpecial(union: Union, workdir: Workdir, inode: Inode, temporary: ByteString): number {
  const { mode } = source;
  let target = '';
  if (inode.type === S_IFLNK) {
    const length = readTarget(union, inode, linkTarget.address, linkTarget.size);
    if (length < 0) return length;
    target = linkTarget.bytes.toString('latin1', 0, length);
  }
  const aside = (mode & S_IFMT) | (inode.isDirectory ? copyMode(union, mode) : mode & 0o7000);
  const device = encodeDevice(source.rdevMajor, source.rdevMinor);
  copy.dirfd = workdir.fd;
  copy.name = temporary;
  keepUmask(0);
  return makeReal(union, workdir.fd, temporary, aside, device, target);
}

function place(
  union: Union,
  workdir: Workdir,
  inode: Inode,
  parent: Inode,
  temporary: ByteString,
  given: Given | undefined,
): number {
  const indexed = hasLinks(inode) ? putInIndex(union, workdir, inode, temporary) : NOT_INDEXED;
  if (indexed < 0) return indexed;
  const { upper } = parent;
  if (upper === undefined) return -EIO;
  // A copy-up's change of a directory is none for users: its times stay.
  markImpure(union, upper);
  const dirfd = union.fds.fd(upper);
  const stated = fstat(dirfd, parentAttr);
  if (stated < 0) return stated;
  const isAlone = indexed === NOT_INDEXED;
  // The commit, but of a file that is in the index by now.
  const placed = isAlone
    ? renameat2(workdir.fd, temporary, dirfd, inode.name)
    : linkLowerName(union, inode, parent, inode.name);
  if (isAlone && placed === 0) moveToUpper(union, inode, parent, upper, dirfd, given);
  copyTimes(parentAttr, dirfd, SELF);
  return placed;
}

/** The lower file has further names, within its layer's filesystem: `source` is of one that is mounted inside, or not. */
function hasLinks(inode: Inode): boolean {
  return source.nlink > 1 && !inode.isDirectory && source.dev === inode.real?.layer.dev;
}

const NOT_INDEXED = 1;

/** The commit of a file of several names: it goes into the index, where all of them lead. */
function putInIndex(union: Union, workdir: Workdir, inode: Inode, temporary: ByteString): number {
  const { index } = union;
  const lower = inode.real;
  if (index === undefined || lower === undefined) return NOT_INDEXED;
  const name = indexNameOf(union, lower.layer, union.dirfdOf(inode), union.nameOf(inode), inode.type);
  if (name === undefined) return NOT_INDEXED;
  keepLinks(inode, 1);
  const added = addToIndex(union, index, inode, workdir.fd, temporary, name);
  if (added < 0) {
    inode.lowerLinks = 0;
    return added;
  }
  inode.real = index;
  inode.realName = name;
  inode.indexName = name;
  if (statat(union.fds.fd(index), name, union.scratch) === 0) registerLinks(inode, index.layer, union.scratch.ino);
  keepData(inode);
  reopenHandles(union, inode);
  return 0;
}

/** Points the inode at its copy. */
function moveToUpper(
  union: Union,
  inode: Inode,
  parent: Inode,
  upper: RealDirectory,
  dirfd: number,
  given: Given | undefined,
): void {
  union.indexes
    .peek(parent)
    ?.edit(inode.name)
    .addUpper((source.mode & S_IFMT) >> 12, inode.ino, false);
  if (inode.isDirectory) {
    inode.upper = new RealDirectory(upper.layer, upper, inode.name);
    return;
  }
  keepLinks(inode, 1);
  keepData(inode);
  inode.real = upper;
  inode.realName = inode.name;
  const attr = given?.attr ?? union.scratch;
  if (statat(dirfd, inode.name, attr) === 0) {
    if (given !== undefined) given.isStated = true;
    inode.realIno = attr.ino;
    upper.layer.keptInos.set(inode.realIno, inode.ino);
    if (inode.lowerLinks > 0) registerLinks(inode, upper.layer, inode.realIno);
  }
  // A metacopy is read where it was.
  if (!shell) reopenHandles(union, inode);
}

/** The data of a metacopy stays where it was; a whole copy has its own. */
function keepData(inode: Inode): void {
  if (!shell) {
    forgetData(inode);
  } else if (!inode.metacopy) {
    inode.data = inode.real;
    inode.dataName = inode.realName;
    inode.dataBlocks = source.blocks;
  }
  inode.metacopy = shell;
  inode.dataRedirected = false;
}

/**
 * The other lower names of a copied-up file go on leading to it.
 *
 * @param copied how many of its names the copy has: one, or none.
 */
function keepLinks(inode: Inode, copied: number): void {
  if (!hasLinks(inode)) return;
  inode.origin = inode.real?.layer;
  inode.originIno = source.ino;
  inode.lowerLinks = Math.max(0, source.nlink - inode.lostLinks - copied);
}

/**
 * An open file whose known lower names were deleted, or an open directory that was removed, is changed: the copy has no
 * name either, unless in the index.
 */
function copyUpNameless(
  union: Union,
  workdir: Workdir,
  inode: Inode,
  limit: FileOffset,
  given: Given | undefined,
): number {
  const temporary = temporaryOf(union, workdir, inode);
  const copied = copyTo(union, workdir, inode, temporary, limit, given);
  if (copied === DEFERRED) return DEFERRED;
  if (copied === 0 && hasLinks(inode) && !inode.unlinked) {
    const indexed = putInIndex(union, workdir, inode, temporary);
    if (indexed < 0) unlinkat(workdir.fd, temporary);
    if (indexed !== NOT_INDEXED) return indexed;
  }
  const fd = copied < 0 ? copied : openat(workdir.fd, temporary, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  unlinkat(workdir.fd, temporary, inode.isDirectory ? AT_REMOVEDIR : 0);
  if (fd < 0) return fd;
  if (inode.isDirectory) {
    inode.pinned = fd;
    return 0;
  }
  keepLinks(inode, 0);
  keepData(inode);
  inode.pinned = fd;
  inode.real = undefined;
  if (!shell) reopenHandles(union, inode);
  return 0;
}

/** Opens a directory of the upper for fsync. */
export function openUpperDirectory(union: Union, inode: Inode): number {
  if (inode.upper === undefined) return -EIO;
  return openat(union.fds.fd(inode.upper), '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}
