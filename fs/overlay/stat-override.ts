import { type Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_ISGID,
  S_ISUID,
} from '../sys/constants.ts';
import { EINVAL, EPERM } from '../sys/errno.ts';
import { NO_ID, STAT_RECORD_XATTRS, type StatRecord, readStatRecord } from '../layer-format.ts';
import { isMappedGid, isMappedUid } from '../sys/id-maps.ts';
import { SELF, getxattrText, setxattrText } from '../sys/xattr.ts';
import { type Layer } from './layer.ts';
import { chmodReal, chownReal, statReal } from './real-file.ts';

// Owner, mode and type kept in an xattr of the file, for where the real ones cannot be had: no right to give files away,
// no device nodes, a server that knows one user. The forms are those of fuse-overlayfs (`xattr_permissions`) and of
// containers/storage (`force_mask`): `uid:gid:mode`, the mode in octal, and, where there is a fourth field, the type.
// Directories and regular files have such a record; a regular file may stand for a file of another type.

const { privileged: PRIVILEGED, containers: CONTAINERS, older: OLDER } = STAT_RECORD_XATTRS;

/** No record in this layer: what stat says is what holds. */
export const NO_OVERRIDE: ByteString = '';

/** What records are named where nothing tells (`xattr_permissions`). */
export const OVERRIDE_XATTRS: Readonly<Record<0 | 1 | 2, ByteString>> = {
  0: NO_OVERRIDE,
  1: PRIVILEGED,
  2: CONTAINERS,
};

/**
 * The name of a layer's records, by the one on its root, as in fuse-overlayfs (direct_load_data_source); NO_OVERRIDE
 * where there is none.
 *
 * @param names those that count; see `overrideNames`.
 */
export function detectOverride(layer: Layer, names: readonly ByteString[]): ByteString {
  return names.find((name) => typeof getxattrText(layer.root.fd, SELF, name) === 'string') ?? NO_OVERRIDE;
}

/** Names of records, in the order in which they are looked for. */
export const ALL_RECORDS: readonly ByteString[] = [PRIVILEGED, CONTAINERS, OLDER];
/** Those that not everyone who owns a file can write. */
export const TRUSTED_RECORDS: readonly ByteString[] = [PRIVILEGED];
/** Those that an upper may have, by `xattr_permissions`. */
export const UPPER_RECORDS: Readonly<Record<1 | 2, readonly ByteString[]>> = { 1: [], 2: [CONTAINERS, OLDER] };

/** Users' `security.*` xattrs, which an ordinary user cannot set, are kept under names of ours beside such records. */
export function encodesXattrs(layer: Layer | undefined): boolean {
  return layer?.override === CONTAINERS;
}

/** A record; `readStatRecord` fills it. */
const record: StatRecord = { uid: 0, gid: 0, mode: 0, type: 0, major: 0, minor: 0 };

/** Whether the value of such an xattr says an owner and a mode. */
export function isRecord(text: ByteString): boolean {
  return readStatRecord(text, record);
}

/** Whether a file of this real type has its owner and mode in a record. */
function isRecorded(type: number): boolean {
  return type === S_IFREG || type === S_IFDIR;
}

/**
 * Puts what a file's record says in the place of what stat said. One that is missing or malformed changes nothing: the
 * real owner and mode are what the host enforces, and give nothing away.
 */
function applyOverride(layer: Layer | undefined, dirfd: number, name: ByteString, attr: Attr): void {
  if (layer === undefined || layer.override === NO_OVERRIDE) return;
  const { mode } = attr;
  const real = mode & S_IFMT;
  if (!isRecorded(real)) return;
  const text = getxattrText(dirfd, name, layer.override);
  if (typeof text !== 'string' || !readStatRecord(text, record)) return;
  // A directory is one, and nothing else stands for one: what is below it is reached by it.
  const type = record.type === 0 || real === S_IFDIR || record.type === S_IFDIR ? real : record.type;
  // -1 is what fuse-overlayfs 1.10 writes for an id that a chown leaves as it is.
  if (record.uid !== NO_ID) attr.uid = record.uid;
  if (record.gid !== NO_ID) attr.gid = record.gid;
  attr.mode = type | record.mode;
  if (type === S_IFCHR || type === S_IFBLK) attr.setRdev(record.major, record.minor);
}

/**
 * As `applyOverride`, for users of the mount: where our user namespace does not know an id, the real owner stands in. The
 * kernel would show such a file as nobody's and let not even root change it.
 */
export function showOverride(layer: Layer | undefined, dirfd: number, name: ByteString, attr: Attr): void {
  if (layer === undefined || layer.override === NO_OVERRIDE) return;
  const { uid, gid } = attr;
  applyOverride(layer, dirfd, name, attr);
  if (!isMappedUid(attr.uid)) attr.uid = uid;
  if (!isMappedGid(attr.gid)) attr.gid = gid;
}

/** Attributes of a layer's file as users see them; see `showOverride`. */
export function statShown(layer: Layer | undefined, dirfd: number, name: ByteString, attr: Attr): number {
  const done = statReal(dirfd, name, attr);
  if (done === 0) showOverride(layer, dirfd, name, attr);
  return done;
}

/** Attributes of a layer's file, by its record where it has one. */
export function statLayer(layer: Layer | undefined, dirfd: number, name: ByteString, attr: Attr): number {
  const done = statReal(dirfd, name, attr);
  if (done === 0) applyOverride(layer, dirfd, name, attr);
  return done;
}

function typeName(attr: Attr): string {
  switch (attr.mode & S_IFMT) {
    case S_IFDIR:
      return 'dir';
    case S_IFLNK:
      return 'symlink';
    case S_IFIFO:
      return 'pipe';
    case S_IFSOCK:
      return 'socket';
    case S_IFBLK:
      return `block-${attr.rdevMajor}-${attr.rdevMinor}`;
    case S_IFCHR:
      return `char-${attr.rdevMajor}-${attr.rdevMinor}`;
    default:
      return 'file';
  }
}

/** Writes the record of a file of the upper: owner, mode and type as `attr` has them. */
export function writeOverride(layer: Layer, dirfd: number, name: ByteString, attr: Attr): number {
  const mode = (attr.mode & 0o7777).toString(8).padStart(4, '0');
  return setxattrText(dirfd, name, layer.override, `${attr.uid}:${attr.gid}:${mode}:${typeName(attr)}`);
}

/** As in fuse-overlayfs: of what has no record, an owner that cannot be given is not missed. */
function giveAway(dirfd: number, name: ByteString, uid: number, gid: number): number {
  const owned = chownReal(dirfd, name, uid, gid);
  return owned === -EPERM || owned === -EINVAL ? 0 : owned;
}

/**
 * Gives a new file of an upper with records the owner, mode and type that `attr` has; a symlink has no record.
 */
export function giveRecorded(layer: Layer, dirfd: number, name: ByteString, attr: Attr): number {
  if ((attr.mode & S_IFMT) === S_IFLNK) return giveAway(dirfd, name, attr.uid, attr.gid);
  return writeOverride(layer, dirfd, name, attr);
}

const S_IXGRP = 0o010;

/** What chown(2) leaves of a file's mode (setattr_should_drop_suidgid in the kernel's fs/attr.c). */
function modeAfterChown(mode: number): number {
  if ((mode & S_IFMT) === S_IFDIR) return mode;
  return mode & ~S_ISUID & ((mode & S_IXGRP) === 0 ? ~0 : ~S_ISGID);
}

/**
 * chown(2) in an upper with records; an id of 0xffffffff stays as it is.
 *
 * @param attr scratch.
 */
export function chownRecorded(
  layer: Layer,
  dirfd: number,
  name: ByteString,
  uid: number,
  gid: number,
  attr: Attr,
): number {
  const stated = statReal(dirfd, name, attr);
  if (stated < 0) return stated;
  if (!isRecorded(attr.mode & S_IFMT)) return giveAway(dirfd, name, uid, gid);
  applyOverride(layer, dirfd, name, attr);
  if (uid !== NO_ID) attr.uid = uid;
  if (gid !== NO_ID) attr.gid = gid;
  attr.mode = modeAfterChown(attr.mode);
  return writeOverride(layer, dirfd, name, attr);
}

/** chmod(2) in an upper with records. */
export function chmodRecorded(layer: Layer, dirfd: number, name: ByteString, mode: number, attr: Attr): number {
  const stated = statReal(dirfd, name, attr);
  if (stated < 0) return stated;
  if (!isRecorded(attr.mode & S_IFMT)) return chmodReal(dirfd, name, mode);
  applyOverride(layer, dirfd, name, attr);
  attr.mode = (attr.mode & S_IFMT) | (mode & 0o7777);
  return writeOverride(layer, dirfd, name, attr);
}
