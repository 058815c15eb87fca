import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { O_RDONLY, O_NONBLOCK, O_WRONLY, S_ISGID, S_ISUID } from '../sys/constants.ts';
import { EIO, EPERM } from '../sys/errno.ts';
import { close, fstat, ftruncate, statat } from '../sys/file.ts';
import { type FileOffset } from '../sys/file-offset.ts';
import { Memory } from '../sys/memory.ts';
import { SELF, getxattr, getxattrText, removexattr, setxattr, setxattrText } from '../sys/xattr.ts';
import { copyData } from './copy-data.ts';
import { copyTimes } from './copy-metadata.ts';
import { findInDataLayers } from './data-layers.ts';
import { examine } from './examined-xattrs.ts';
import { reopenHandles } from './handle-files.ts';
import { type Inode } from './inode.ts';
import { ALL, copyLength } from './copy-limit.ts';
import { type Layer } from './layer.ts';
import { COUNTER } from './options.ts';
import { copyFlags } from './protection.ts';
import { type RealDirectory } from './real-directory.ts';
import { chmodReal, openForReading, openReal, statReal } from './real-file.ts';
import { settle } from './settle.ts';
import { NO_OVERRIDE } from './stat-override.ts';
import { type FilePlace, findData, isMetacopy } from './stack.ts';
import { type Union } from './union.ts';
import { lowerPathOf } from './upper-format.ts';
import { parseMetacopy, verifyData } from './verity.ts';

const CAPABILITY = 'security.capability';

const attr = new Attr();
const capability = new Memory(64);

/** Opens the file that has the data: the file itself, or, for a metacopy, the one below. */
export function openData(union: Union, inode: Inode, flags: number): number {
  if (!inode.metacopy) {
    const layer = union.layerOf(inode);
    return layer === undefined ? -EIO : openForReading(layer, union.dirfdOf(inode), union.nameOf(inode), flags);
  }
  const reached = reachData(union, inode);
  if (reached < 0) return reached;
  // Better no data than the zeros that the upper's file consists of.
  if (inode.data === undefined) return inode.dataFault;
  const fd = openForReading(inode.data.layer, union.fds.fd(inode.data), inode.dataName, flags);
  const verified = fd < 0 ? fd : verifyData(union, inode, fd);
  if (fd >= 0 && verified < 0) close(fd);
  return verified < 0 ? verified : fd;
}

/** Whether a regular file may be a metacopy, by what is known of it: only then its xattrs are asked. */
export function mayBeMetacopy(union: Union, real: RealDirectory, file: Attr): boolean {
  // Overlayfs without an index keeps no origin of a file with several names, and then does not mark the directory either.
  if (real.impure || real.layer.writable) return true;
  // A lower one may come from anywhere; its data, if any, is a hole.
  return union.expectsMetacopies || file.blocks * 512 < file.size;
}

/** Finds out whether a file that was just looked up is a metacopy, and where its data is. */
export function takeMetacopy(union: Union, inode: Inode, parent: Inode, real: RealDirectory, name: ByteString): void {
  const dirfd = union.fds.fd(real);
  if (isPlain(union, inode, real.layer, dirfd, name)) return;
  const value = getxattrText(dirfd, name, union.metacopyXattr);
  if (typeof value === 'number') return;
  const redirect = redirectOf(union, dirfd, name);
  if (parseMetacopy(value) === 'invalid' || !isTrusted(union, real.layer, redirect)) {
    setData(inode, undefined);
    if (!isTrusted(union, real.layer, redirect)) inode.dataFault = -EPERM;
    return;
  }
  setData(inode, findData(union, parent, real.layer.index, inode.name, redirect));
  inode.dataRedirected = redirect?.startsWith('/') === true;
}

/** Whether a list says that a lower file has no mark: of most it says that they have no xattr, which is asked next. */
function isPlain(union: Union, inode: Inode, layer: Layer, dirfd: number, name: ByteString): boolean {
  if (layer.writable || layer.override !== NO_OVERRIDE || !union.isSoleWriter) return false;
  const names = examine(inode, dirfd, name);
  return typeof names === 'object' && !names.includes(union.metacopyXattr);
}

/**
 * Lower layers may come from anywhere: their metacopies are followed only where asked for, as in overlayfs; from the
 * bottom layer to the data-only ones, which are there for nothing else, always.
 */
function isTrusted(union: Union, layer: Layer, redirect: ByteString | undefined): boolean {
  if (layer.writable || union.options.metacopy === true) return true;
  const isBottom = layer.index === union.lowers.length - 1;
  return isBottom && union.dataLayers.length > 0 && redirect?.startsWith('/') === true;
}

/** The same for a file that is reached by the index: its data is where the lower name leads that it was looked up by. */
export function takeIndexedMetacopy(
  union: Union,
  inode: Inode,
  parent: Inode,
  index: RealDirectory,
  lower: RealDirectory,
  name: ByteString,
): void {
  if (!isMetacopy(union, union.fds.fd(index), inode.indexName)) return;
  const dirfd = union.fds.fd(lower);
  if (!isMetacopy(union, dirfd, name)) setData(inode, { directory: lower, name });
  else setData(inode, findData(union, parent, lower.layer.index, name, redirectOf(union, dirfd, name)));
}

function redirectOf(union: Union, dirfd: number, name: ByteString): ByteString | undefined {
  const redirect = getxattrText(dirfd, name, union.redirectXattr);
  return typeof redirect === 'string' ? redirect : undefined;
}

function setData(inode: Inode, place: FilePlace | ByteString | undefined): void {
  const isFound = typeof place === 'object';
  inode.metacopy = true;
  inode.data = isFound ? place.directory : undefined;
  inode.dataBlocks = -1;
  inode.dataName = isFound ? place.name : '';
  inode.dataPath = typeof place === 'string' ? place : '';
}

/** Looks for the data in the data-only layers, once. */
function reachData(union: Union, inode: Inode): number {
  if (inode.data !== undefined || inode.dataPath === '') return 0;
  const place = findInDataLayers(union, inode.dataPath);
  if (typeof place === 'number') return place;
  inode.data = place.directory;
  inode.dataName = place.name;
  return 0;
}

/** st_blocks of a metacopy are those of the data. */
export function presentBlocks(union: Union, inode: Inode, shown: Attr): void {
  if (inode.data === undefined) {
    // Nobody has looked for it yet (ovl_getattr): as many as if it were all there.
    if (inode.dataPath !== '') shown.blocks = (Math.ceil(shown.size / shown.blksize) * shown.blksize) / 512;
    return;
  }
  if (inode.dataBlocks < 0 || !union.isSoleWriter) {
    if (statat(union.fds.fd(inode.data), inode.dataName, attr) < 0) return;
    inode.dataBlocks = attr.blocks;
  }
  shown.blocks = inode.dataBlocks;
}

/**
 * Completes a metacopy in the upper with its data. Until the mark goes, the commit point, what is in the upper's file
 * does not count.
 *
 * @param limit of a file that is about to be truncated, only so many bytes; ALL for all.
 */
export function ensureData(union: Union, inode: Inode, limit: FileOffset): number {
  if (!inode.metacopy || inode.real?.layer.writable === false) return 0;
  const reached = limit === 0 ? 0 : reachData(union, inode);
  if (reached < 0) return reached;
  if (inode.data === undefined && limit !== 0) return inode.dataFault;
  const dirfd = union.dirfdOf(inode);
  const name = union.nameOf(inode);
  const copied = copyInto(union, inode, dirfd, name, limit);
  if (copied < 0) return copied;
  const marked = removexattr(dirfd, name, union.metacopyXattr);
  if (marked < 0) return marked;
  removexattr(dirfd, name, union.redirectXattr);
  forgetData(inode);
  reopenHandles(union, inode);
  return 0;
}

/** The file has its data itself. */
export function forgetData(inode: Inode): void {
  inode.metacopy = false;
  inode.data = undefined;
  inode.dataPath = '';
}

/** What is beyond `limit` are zeros that were never the file's: they go before the mark does. */
function cutTo(dirfd: number, name: ByteString, limit: FileOffset): number {
  const fd = openReal(dirfd, name, O_WRONLY | O_NONBLOCK);
  if (fd < 0) return fd;
  const cut = ftruncate(fd, limit);
  close(fd);
  return cut;
}

function copyInto(union: Union, inode: Inode, dirfd: number, name: ByteString, limit: FileOffset): number {
  if (inode.data === undefined) return cutTo(dirfd, name, limit);
  const { layer } = inode.data;
  const from = openData(union, inode, O_RDONLY | O_NONBLOCK);
  if (from < 0) return from;
  const to = openReal(dirfd, name, O_WRONLY | O_NONBLOCK);
  let copied = to;
  if (to >= 0) {
    // A write takes the file's capabilities away, and setuid and setgid where the daemon has no CAP_FSETID.
    const length = getxattr(to, SELF, CAPABILITY, capability.address, capability.size);
    const stated = fstat(from, attr);
    const { blocks, exactSize: size } = attr;
    copied = stated < 0 ? stated : statReal(dirfd, name, attr);
    // One that was cut, and killed before it lost its mark, is as long as it shows.
    const wanted = copyLength(limit, copyLength(attr.exactSize, size));
    if (copied === 0) copied = copyData(layer, from, to, wanted, wanted === size, blocks, union.settle);
    union.count(COUNTER.copyUpBytes, Number(wanted));
    if (copied >= 0 && wanted !== size) copied = ftruncate(to, wanted);
    copyFlags(from, to);
    if (copied >= 0) copied = settle(to, union.settle);
    if (copied >= 0 && length > 0) copied = setxattr(to, SELF, CAPABILITY, capability.address, length, 0);
    if (copied >= 0 && (attr.mode & (S_ISUID | S_ISGID)) !== 0) copied = chmodReal(dirfd, name, attr.mode & 0o7777);
    if (copied >= 0) copied = copyTimes(attr, dirfd, name);
    close(to);
  }
  close(from);
  return copied;
}

/** Before a metacopy gets another name: tells where its data stays (ovl_set_link_redirect). */
export function redirectData(union: Union, inode: Inode): number {
  if (!inode.metacopy || inode.dataRedirected) return 0;
  if (inode.parent === undefined) return -EIO;
  const dirfd = union.dirfdOf(inode);
  const name = union.nameOf(inode);
  // Overlayfs tells a name where one stays in its directory: the data is under that, whatever the file is called by now.
  const known = redirectOf(union, dirfd, name);
  inode.dataRedirected = known?.startsWith('/') === true;
  if (inode.dataRedirected) return 0;
  const path = `${lowerPathOf(inode.parent)}/${known ?? inode.name}`;
  const written = setxattrText(dirfd, name, union.redirectXattr, path);
  if (written === 0) inode.dataRedirected = true;
  // Where that cannot be written, the data comes along instead.
  return written === 0 ? 0 : ensureData(union, inode, ALL);
}
