import { type Attr, Attr as AttrBuffer } from './sys/attr.ts';
import { type ByteString } from './sys/bytes.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from './sys/constants.ts';
import { statat } from './sys/file.ts';
import { SELF, getxattrText } from './sys/xattr.ts';

// What layers have on disk to hide what is below, in the forms of overlayfs, fuse-overlayfs and AUFS. All are read; which
// is written depends on what the filesystem takes.

/** AUFS's prefix: `.wh.NAME` hides NAME in the layers below. */
export const DOT_WHITEOUT = '.wh.';
/** AUFS's own files, `.wh..wh.*`, and, among them, its mark of an opaque directory. */
const DOT_META = '.wh..wh.';
export const DOT_OPAQUE = '.wh..wh..opq';

/** A directory with the value `y` hides all below it; the first that the upper accepts is written. */
export const OPAQUE_XATTRS: readonly ByteString[] = [
  'trusted.overlay.opaque',
  'user.overlay.opaque',
  'user.fuseoverlayfs.opaque',
];
export const WHITEOUT_XATTRS: readonly ByteString[] = ['trusted.overlay.whiteout', 'user.overlay.whiteout'];

/**
 * Names that may be a layer's own. Where whiteouts are written in this form, all of them are, and no user can make or see
 * one; elsewhere it depends on the file: see `isDotMark`.
 */
export function hasDotForm(name: ByteString): boolean {
  return name.startsWith(DOT_WHITEOUT);
}

/** Says of a file whose name begins with `.wh.` that it is a user's own; the first that the upper accepts is written. */
export const PLAIN_XATTRS: readonly ByteString[] = ['user.overlay.plain', 'trusted.overlay.plain'];

const named = new AttrBuffer();

/**
 * Whether a layer's file with such a name is a whiteout or another of AUFS's own: a whiteout is an empty regular file.
 * One that a user of a mount made bears a mark; overlayfs, which knows no such form, takes it for what it is, too.
 */
export function isDotMark(dirfd: number, name: ByteString): boolean {
  if (statat(dirfd, name, named) < 0) return false;
  const regular = (named.mode & S_IFMT) === S_IFREG;
  if (!name.startsWith(DOT_META) && (!regular || named.size !== 0)) return false;
  return !(regular && PLAIN_XATTRS.some((xattr) => typeof getxattrText(dirfd, name, xattr) === 'string'));
}

/** AUFS's own names, as of its mark of an opaque directory. */
export function isDotMetaName(name: ByteString): boolean {
  return name.startsWith(DOT_META);
}

/** The name that `.wh.NAME` hides, or undefined for AUFS's own files and for names that hide nothing. */
export function hiddenBy(name: ByteString): ByteString | undefined {
  if (isDotMetaName(name)) return undefined;
  const hidden = name.slice(DOT_WHITEOUT.length);
  return hidden === '' || hidden === '.' || hidden === '..' ? undefined : hidden;
}

/** Whether an open directory hides all that the layers below have in it. */
export function isOpaque(fd: number): boolean {
  return OPAQUE_XATTRS.some((xattr) => getxattrText(fd, SELF, xattr) === 'y') || isDotMark(fd, DOT_OPAQUE);
}

/** Character device 0:0, overlayfs's whiteout (fs/overlayfs/util.c, ovl_is_whiteout). */
export function isWhiteoutDevice(attr: Attr): boolean {
  return (attr.mode & S_IFMT) === S_IFCHR && attr.rdevMajor === 0 && attr.rdevMinor === 0;
}

/** An empty regular file with the whiteout xattr: a whiteout where its directory says `overlay.opaque=x`. */
export function isXattrWhiteout(dirfd: number, name: ByteString): boolean {
  return WHITEOUT_XATTRS.some((xattr) => typeof getxattrText(dirfd, name, xattr) === 'string');
}

const OVERLAY_XATTRS: readonly ByteString[] = ['trusted.overlay.', 'user.overlay.', 'user.fuseoverlayfs.'];
const OWN_XATTRS: readonly ByteString[] = [...OVERLAY_XATTRS, 'security.fuseoverlayfs.', 'user.containers.override_'];

/** Extended attributes that mean something to overlayfs or fuse-overlayfs. */
export function isOverlayXattr(name: ByteString): boolean {
  return OVERLAY_XATTRS.some((own) => name.startsWith(own));
}

/** Extended attributes that are ours: hidden from users of the mount, and not theirs to set. */
export function isOwnXattr(name: ByteString): boolean {
  return OWN_XATTRS.some((own) => name.startsWith(own));
}

/** Names of the xattrs that records of owner, mode and type are kept in; see `StatRecord`. */
export const STAT_RECORD_XATTRS = {
  privileged: 'security.fuseoverlayfs.override_stat',
  containers: 'user.containers.override_stat',
  /** What fuse-overlayfs wrote before version 1.14. */
  older: 'user.fuseoverlayfs.override_stat',
} as const;

/** What a file is to be taken for where its real owner, mode and type could not be had. */
export interface StatRecord {
  uid: number;
  gid: number;
  mode: number;
  /** S_IF*, or 0: the real one. */
  type: number;
  major: number;
  minor: number;
}

const STAT_RECORD =
  /^(-1|\d{1,10}):(-1|\d{1,10}):0*([0-7]{1,7})(?::(file|dir|symlink|pipe|socket|block|char)(?:-(\d+)-(\d+))?.*)?$/;

const RECORDED_TYPES: Readonly<Record<string, number>> = {
  file: S_IFREG,
  dir: S_IFDIR,
  symlink: S_IFLNK,
  pipe: S_IFIFO,
  socket: S_IFSOCK,
  block: S_IFBLK,
  char: S_IFCHR,
};

/** An id that stays as it is: -1 is what fuse-overlayfs 1.10 writes for one that a chown leaves alone. */
export const NO_ID = 0xffffffff;
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xfffff;

/** Reads `uid:gid:mode[:type]` into `record`; false where the text is no record. */
export function readStatRecord(text: ByteString, record: StatRecord): boolean {
  const match = STAT_RECORD.exec(text);
  if (match === null) return false;
  record.uid = Number(match[1]) >>> 0;
  record.gid = Number(match[2]) >>> 0;
  record.mode = Number.parseInt(match[3] ?? '', 8) & 0o7777;
  record.type = RECORDED_TYPES[match[4] ?? ''] ?? 0;
  record.major = Number(match[5] ?? 0);
  record.minor = Number(match[6] ?? 0);
  return Number(match[1]) <= NO_ID && Number(match[2]) <= NO_ID && isUsableType(record);
}

/** A device without numbers is none, nor is 0:0, which would be a whiteout to whoever copies the file. */
function isUsableType({ type, major, minor }: StatRecord): boolean {
  if (type !== S_IFCHR && type !== S_IFBLK) return true;
  return major <= MAX_MAJOR && minor <= MAX_MINOR && (type === S_IFBLK || major !== 0 || minor !== 0);
}
