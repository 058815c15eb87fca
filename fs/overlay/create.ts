import { type Caller, type Entry, type Opened } from '../filesystem.ts';
import { type Attr, majorOf, minorOf } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import {
  AT_REMOVEDIR,
  S_IFBLK,
  O_ACCMODE,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECT,
  O_EXCL,
  O_NOATIME,
  O_NOFOLLOW,
  O_PATH,
  O_RDWR,
  O_TMPFILE,
  RENAME_EXCHANGE,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_ISGID,
  S_ISUID,
} from '../sys/constants.ts';
import { EEXIST, EINVAL, EIO, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, EROFS } from '../sys/errno.ts';
import { close, fstat, openat, renameat2, statat, unlinkat } from '../sys/file.ts';
import { fchmod, fchown, keepUmask } from '../sys/metadata.ts';
import { Attr as AttrBuffer } from '../sys/attr.ts';
import { SELF } from '../sys/xattr.ts';
import { METADATA } from './copy-limit.ts';
import { ensureUpper } from './copy-up.ts';
import { DirectoryIndex, type IndexEntry } from './directory-index.ts';
import { LACKS, type Inode } from './inode.ts';
import { ABSENT, NAME_MAX, addAlias, present, registerLinks, resolve, statInode } from './lookup.ts';
import { redirectData } from './metacopy.ts';
import { findEntry } from './merge.ts';
import { refuseChange, refuseEntry } from './protection.ts';
import { RealDirectory } from './real-directory.ts';
import { chmodReal, chownReal, linkReal, openReal } from './real-file.ts';
import { openInode } from './open.ts';
import { passThrough } from './passthrough.ts';
import { isForeign, keepsRecords, makeReal, realMode } from './make-real.ts';
import { inheritAcl, inheritedMode, loadDefaultAcl } from './recorded-acl.ts';
import { makeStaging } from './staging.ts';
import { giveRecorded, statLayer, statShown } from './stat-override.ts';
import { type Union } from './union.ts';
import { linkLowerName, markImpure, noteUpper } from './upper-names.ts';
import { removeDotWhiteout, writeOpaque } from './upper-format.ts';
import { checkDotFree, checkDotName, markForName, markPlain, needsPlainMark } from './dot-names.ts';

/** What the union knows of a name that is about to be made; `prepare` fills it. */
const place = { dirfd: -1, whiteout: false, dotWhiteout: false, lowerVisible: false };

const parentAttr = new AttrBuffer();

/** Checks that `name` can be made in `parent` and fills `place`; the parent is in the upper afterwards. */
function prepare(union: Union, parent: Inode, name: ByteString, type: number): number {
  if (!parent.isDirectory) return -ENOTDIR;
  if (union.upper === undefined) return -EROFS;
  if (name.length > NAME_MAX) return -ENAMETOOLONG;
  if (parent.unlinked) return -ENOENT;
  const nameable = checkDotName(union, name, type);
  if (nameable < 0) return nameable;
  const entry = findEntry(union, parent, name);
  if (typeof entry === 'number' && entry < 0) return entry;
  if (typeof entry !== 'number' && entry.visible) return -EEXIST;
  const refused = refuseEntry(union, parent);
  if (refused < 0) return refused;
  const raised = ensureUpper(union, parent);
  if (raised < 0) return raised;
  const known: IndexEntry | undefined = typeof entry === 'number' ? undefined : entry;
  place.whiteout = known?.whiteout === true;
  place.dotWhiteout = known?.dotWhiteout === true;
  place.lowerVisible = known?.lowerVisible === true;
  place.dirfd = parent.upper === undefined ? -EIO : union.fds.fd(parent.upper);
  if (place.dirfd < 0) return place.dirfd;
  return place.whiteout ? 0 : checkDotFree(place.dirfd, name);
}

/**
 * Lets the upper's filesystem apply the caller's umask itself, as it alone knows whether a default ACL takes its place.
 * The session's thread has a umask of its own.
 */
function setUmask(union: Union, caller: Caller): void {
  // Where modes are kept aside, the real one is ours alone, and it is we who apply the mask.
  keepUmask(keepsRecords(union) ? 0 : caller.umask);
}

/** Makes a file, directory, device, fifo, socket or symlink. */
export function makeNode(
  union: Union,
  caller: Caller,
  parent: Inode,
  name: ByteString,
  mode: number,
  rdev: number,
  target: ByteString,
  entry: Entry,
): number {
  const type = mode & S_IFMT;
  // Character device 0:0 is a whiteout: a user of the mount cannot make one.
  if (type === S_IFCHR && rdev === 0) return -EPERM;
  const prepared = prepare(union, parent, name, type);
  if (prepared < 0) return prepared;
  setUmask(union, caller);
  // A file and its record come into being together.
  const aside = place.whiteout || keepsRecords(union) || needsPlainMark(union, name, type);
  const made = aside
    ? makeAside(union, caller, parent, name, mode, rdev, target, entry.attr)
    : makeOwned(union, caller, parent, place.dirfd, name, mode, rdev, target, entry.attr);
  if (made < 0) return made;
  grant(union, entry, adopt(union, parent, name, entry.attr));
  return 0;
}

/** Makes a file and gives it to the caller; a file that cannot be given away is taken back. */
function makeOwned(
  union: Union,
  caller: Caller,
  parent: Inode,
  dirfd: number,
  name: ByteString,
  mode: number,
  rdev: number,
  target: ByteString,
  attr: Attr,
): number {
  const made = makeReal(union, dirfd, name, mode, rdev, target);
  if (made < 0) return made;
  let owned = statat(dirfd, name, attr);
  if (owned === 0) owned = giveTo(union, caller, parent, dirfd, name, mode, rdev, attr);
  if (owned < 0) unlinkat(dirfd, name, (mode & S_IFMT) === S_IFDIR ? AT_REMOVEDIR : 0);
  return owned;
}

/**
 * Makes a new file the caller's. Its group is the parent's where that is setgid: the upper's filesystem has done so by
 * itself. `name` may be SELF, with a descriptor open for writing.
 */
function giveTo(
  union: Union,
  caller: Caller,
  parent: Inode,
  dirfd: number,
  name: ByteString,
  wanted: number,
  rdev: number,
  attr: Attr,
): number {
  if (union.upper !== undefined && keepsRecords(union)) {
    const inherits = describeNew(union, caller, parent, wanted, rdev, attr);
    const given = giveRecorded(union.upper, dirfd, name, attr);
    return given === 0 && inherits ? inheritAcl(union.upper, dirfd, name, attr.mode) : given;
  }
  const uid = union.owners.uid.stored(caller.uid);
  let gid = union.owners.gid.stored(caller.gid);
  if (attr.uid === uid && attr.gid === gid) return 0;
  if (attr.gid !== gid && inheritsGroup(union, parent)) gid = attr.gid;
  if (attr.uid === uid && attr.gid === gid) return 0;
  const owned = name === SELF ? fchown(dirfd, uid, gid) : chownReal(dirfd, name, uid, gid);
  if (owned < 0) return union.owners.squashes && isForeign(owned) ? 0 : owned;
  attr.uid = uid;
  attr.gid = gid;
  const { mode } = attr;
  // chown(2) has cleared these.
  if ((mode & (S_ISUID | S_ISGID)) === 0 || (mode & S_IFMT) !== S_IFREG) return 0;
  return name === SELF ? fchmod(dirfd, mode & 0o7777) : chmodReal(dirfd, name, mode & 0o7777);
}

function inheritsGroup(union: Union, parent: Inode): boolean {
  const stated = statLayer(union.layerOf(parent), union.dirfdOf(parent), union.nameOf(parent), parentAttr);
  return stated === 0 && (parentAttr.mode & S_ISGID) !== 0;
}

/**
 * Turns the attributes of a new file into those that its record is to have, as the kernel would give them to it.
 * Answers whether it also inherits an ACL.
 */
function describeNew(union: Union, caller: Caller, parent: Inode, wanted: number, rdev: number, attr: Attr): boolean {
  const inherits = inheritsGroup(union, parent);
  const type = wanted & S_IFMT;
  attr.uid = union.owners.uid.stored(caller.uid);
  attr.gid = inherits ? parentAttr.gid : union.owners.gid.stored(caller.gid);
  attr.mode = wanted;
  if (inherits && type === S_IFDIR) attr.mode |= S_ISGID;
  if (type === S_IFCHR || type === S_IFBLK) attr.setRdev(majorOf(rdev), minorOf(rdev));
  if (type === S_IFLNK) return false;
  const isInherited =
    union.options.noAcl !== true && loadDefaultAcl(parent.upper?.layer, union.dirfdOf(parent), union.nameOf(parent));
  attr.mode = isInherited ? inheritedMode(attr.mode) : attr.mode & ~caller.umask;
  return isInherited;
}

/**
 * Makes a file where the upper has a whiteout, or one that needs a mark beforehand: whole in the workdir, then one rename
 * puts it in its place. A directory takes an exchange, and is opaque: what the whiteout hid stays hidden.
 */
function makeAside(
  union: Union,
  caller: Caller,
  parent: Inode,
  name: ByteString,
  mode: number,
  rdev: number,
  target: ByteString,
  attr: Attr,
): number {
  const { workdir } = union;
  if (workdir === undefined) return -EROFS;
  const { dirfd, whiteout, dotWhiteout, lowerVisible } = place;
  const staging = makeStaging(union, workdir, dirfd);
  if (staging.fd < 0) return staging.fd;
  const temporary = workdir.temporaryName();
  const directory = (mode & S_IFMT) === S_IFDIR;
  let made = makeOwned(union, caller, parent, staging.fd, temporary, mode, rdev, target, attr);
  if (made === 0) {
    if (needsPlainMark(union, name, mode & S_IFMT)) made = markPlain(staging.fd, temporary);
    if (directory && lowerVisible) made = markOpaque(union, staging.fd, temporary);
    if (made === 0) made = overWhiteout(staging.fd, temporary, dirfd, name, directory && whiteout && !dotWhiteout);
    if (made < 0) unlinkat(staging.fd, temporary, directory ? AT_REMOVEDIR : 0);
    else if (dotWhiteout) removeDotWhiteout(union, parent, name);
  }
  staging.close();
  return made;
}

function markOpaque(union: Union, dirfd: number, name: ByteString): number {
  const fd = openat(dirfd, name, O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return fd;
  const marked = writeOpaque(union, fd);
  close(fd);
  return marked;
}

/** @param exchange the whiteout is a device and cannot be replaced by a directory: it comes out instead. */
function overWhiteout(fromDirfd: number, from: ByteString, dirfd: number, name: ByteString, exchange: boolean): number {
  const renamed = renameat2(fromDirfd, from, dirfd, name, exchange ? RENAME_EXCHANGE : 0);
  if (renamed === 0 && exchange) unlinkat(fromDirfd, from);
  return renamed;
}

/** Makes the inode of a file that has just come into being in the upper; `attr` is turned into what users see. */
function adopt(union: Union, parent: Inode, name: ByteString, attr: Attr): Inode {
  const upper = parent.upper;
  if (upper === undefined) throw new Error('a file was made in a directory that is not in the upper layer');
  const type = attr.mode & S_IFMT;
  const inode = union.inodes.create(type, upper.layer.uniqueIno(attr.ino), parent, name);
  inode.protection = 0;
  // Nobody inherits those, and the kernel asks before the first write, and again when the file is given away.
  if (union.isSoleWriter) inode.lacks = LACKS.capability;
  noteUpper(union, parent, name, type, inode.ino);
  if (type === S_IFDIR) {
    inode.upper = new RealDirectory(upper.layer, upper, name);
    // Nothing below shows through, and it is empty: no need to read it.
    union.indexes.set(inode, new DirectoryIndex());
  } else {
    inode.real = upper;
    inode.realName = name;
  }
  present(union, inode, attr);
  return inode;
}

/** Hands an inode to the kernel. */
export function grant(union: Union, entry: Entry, inode: Inode): void {
  inode.nlookup++;
  entry.node = inode.id;
  entry.generation = union.inodes.generationOf(inode);
  entry.attributesLast = !inode.changesUnseen;
}

/** Makes a regular file and opens it. One that came to be meanwhile is opened, unless O_EXCL forbids. */
export function createFile(
  union: Union,
  caller: Caller,
  parent: Inode,
  name: ByteString,
  mode: number,
  flags: number,
  entry: Entry,
  opened: Opened,
): number {
  const prepared = prepare(union, parent, name, S_IFREG);
  if (prepared === -EEXIST && (flags & O_EXCL) === 0) return openExisting(union, parent, name, flags, entry, opened);
  if (prepared < 0) return prepared;
  setUmask(union, caller);
  const { dirfd, whiteout } = place;
  if (whiteout || needsPlainMark(union, name, S_IFREG)) {
    const made = makeAside(union, caller, parent, name, S_IFREG | (mode & 0o7777), 0, '', entry.attr);
    if (made < 0) return made;
    const inode = adopt(union, parent, name, entry.attr);
    const failed = openInode(union, inode, flags, opened);
    if (failed < 0) union.inodes.release(inode);
    else grant(union, entry, inode);
    return failed;
  }
  const kept = flags & (O_ACCMODE | O_DIRECT);
  const fd = openat(
    dirfd,
    name,
    kept | quietly(union) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
    realMode(union, mode),
  );
  if (fd < 0) {
    // A filesystem without O_DIRECT refuses the open after it has made the file.
    if (fd === -EINVAL && kept > O_ACCMODE) union.indexes.drop(parent);
    return fd;
  }
  const wanted = S_IFREG | (mode & 0o7777);
  const owned = fstat(fd, entry.attr) || giveTo(union, caller, parent, fd, SELF, wanted, 0, entry.attr);
  if (owned < 0) {
    unlinkat(dirfd, name);
    close(fd);
    return owned;
  }
  const inode = adopt(union, parent, name, entry.attr);
  const way = passThrough(union, inode, fd, flags, opened);
  grant(union, entry, inode);
  // It is empty: before a mapping can change it, its size does, which the kernel sees.
  entry.attributesLast = true;
  opened.handle = union.handles.open(inode, fd, kept, way);
  return 0;
}

function openExisting(
  union: Union,
  parent: Inode,
  name: ByteString,
  flags: number,
  entry: Entry,
  opened: Opened,
): number {
  const inode = resolve(union, parent, name, entry.attr);
  if (typeof inode === 'number') return inode === ABSENT ? -ENOENT : inode;
  const failed = openInode(union, inode, flags, opened);
  if (failed < 0) {
    union.inodes.release(inode);
    return failed;
  }
  grant(union, entry, inode);
  return statInode(union, inode, entry.attr);
}

/** A new file is ours until it is given away: O_NOATIME cannot be refused. */
function quietly(union: Union): number {
  return union.upper?.keepsAccessTimes === true ? 0 : O_NOATIME;
}

/** O_TMPFILE: a file in the upper that has no name until it is linked. */
export function createTemporary(
  union: Union,
  caller: Caller,
  parent: Inode,
  mode: number,
  flags: number,
  entry: Entry,
  opened: Opened,
): number {
  if (union.upper === undefined) return -EROFS;
  if (parent.unlinked) return -ENOENT;
  const raised = refuseEntry(union, parent) || ensureUpper(union, parent);
  if (raised < 0) return raised;
  if (parent.upper === undefined) return -EIO;
  setUmask(union, caller);
  const kept = O_RDWR | (flags & O_DIRECT);
  const openFlags = kept | quietly(union) | O_TMPFILE | O_CLOEXEC | (flags & O_EXCL);
  const fd = openat(union.fds.fd(parent.upper), '.', openFlags, realMode(union, mode));
  if (fd < 0) return fd;
  const wanted = S_IFREG | (mode & 0o7777);
  const owned = fstat(fd, entry.attr) || giveTo(union, caller, parent, fd, SELF, wanted, 0, entry.attr);
  if (owned < 0) {
    close(fd);
    return owned;
  }
  const inode = union.inodes.create(S_IFREG, union.upper.uniqueIno(entry.attr.ino), undefined, '');
  inode.unlinked = true;
  inode.protection = 0;
  // Where the session keeps no handles, nothing else holds it.
  inode.pinned = openReal(fd, SELF, O_PATH);
  const way = passThrough(union, inode, fd, flags, opened);
  opened.handle = union.handles.open(inode, fd, kept, way);
  present(union, inode, entry.attr);
  grant(union, entry, inode);
  return 0;
}

/** link(2): a further name; the file is in the upper afterwards. */
export function linkInode(union: Union, inode: Inode, parent: Inode, name: ByteString, entry: Entry): number {
  if (inode.isDirectory) return -EPERM;
  // The source first: its copy-up may change what `prepare` finds out about the parent.
  if (union.upper === undefined) return -EROFS;
  const refused = refuseEntry(union, parent) || refuseChange(union, inode);
  if (refused < 0) return refused;
  const raised = ensureUpper(union, inode, METADATA) || redirectData(union, inode);
  if (raised < 0) return raised;
  const prepared = prepare(union, parent, name, inode.type) || markForName(union, inode, name);
  if (prepared < 0) return prepared;
  const { upper } = parent;
  if (upper === undefined) return -EIO;
  if (inode.hasOrigin) markImpure(union, upper);
  const linked = linkInto(union, inode, parent, name);
  if (linked < 0) return linked;
  addAlias(inode, parent, name, upper);
  noteUpper(union, parent, name, inode.type, inode.ino);
  const stated = statShown(upper.layer, union.dirfdOf(inode), union.nameOf(inode), entry.attr);
  if (stated < 0) return stated;
  registerLinks(inode, upper.layer, entry.attr.ino);
  present(union, inode, entry.attr);
  grant(union, entry, inode);
  return 0;
}

function linkInto(union: Union, inode: Inode, parent: Inode, name: ByteString): number {
  const { workdir } = union;
  const { dirfd, whiteout, dotWhiteout } = place;
  if (!whiteout || dotWhiteout || workdir === undefined) {
    const linked = linkReal(union.dirfdOf(inode), union.nameOf(inode), dirfd, name);
    if (linked === 0 && dotWhiteout) removeDotWhiteout(union, parent, name);
    return linked;
  }
  const temporary = workdir.temporaryName();
  const linked = linkReal(union.dirfdOf(inode), union.nameOf(inode), workdir.fd, temporary);
  if (linked < 0) return linked;
  const renamed = overWhiteout(workdir.fd, temporary, dirfd, name, false);
  if (renamed < 0) unlinkat(workdir.fd, temporary);
  return renamed;
}

/**
 * Puts a name that only a lower layer has into the upper, as a link to the copied-up file: before the name is moved,
 * or before the file loses its other upper name.
 */
export function materialize(union: Union, inode: Inode, parent: Inode, name: ByteString): number {
  const raised = ensureUpper(union, parent);
  return raised < 0 ? raised : linkLowerName(union, inode, parent, name);
}
