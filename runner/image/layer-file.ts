import {
  isOverlayXattr,
  isOwnXattr,
  NO_ID,
  readStatRecord,
  STAT_RECORD_XATTRS,
  type StatRecord,
} from '../../fs/layer-format.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from '../../fs/sys/constants.ts';
import { check, ENODATA, EOPNOTSUPP } from '../../fs/sys/errno.ts';
import { fstat, readlinkat, statat } from '../../fs/sys/file.ts';
import { hasAllIds } from '../../fs/sys/id-maps.ts';
import { Memory } from '../../fs/sys/memory.ts';
import { getxattr, getxattrText, SELF, xattrNames } from '../../fs/sys/xattr.ts';
import { isHostLabel, NO_XATTRS, type Xattrs } from './entry-metadata.ts';
import { type TarHeader, type WrittenType } from './tar-writer.ts';
import { type Warnings } from './warnings.ts';

/** Where files of a layer, or of any tree, have their owners: in themselves, or in an xattr of this name. */
export type OwnerRecords = ByteString;

/** Owners, modes and types are the files' own. */
export const REAL_OWNERS: OwnerRecords = '';

const RECORDS: readonly OwnerRecords[] = Object.values(STAT_RECORD_XATTRS);
const { privileged: PRIVILEGED, containers: CONTAINERS } = STAT_RECORD_XATTRS;

/**
 * How a layer keeps owners, as its root tells. Root believes no attribute that everybody could have written; the union
 * has the same rule.
 */
export function ownerRecordsOf(root: number): OwnerRecords {
  const believed = hasAllIds() ? [PRIVILEGED] : RECORDS;
  return believed.find((name) => typeof getxattrText(root, SELF, name) === 'string') ?? REAL_OWNERS;
}

/** What an archive says of a file besides its name and its links. */
export interface FileDescription extends Omit<TarHeader, 'name' | 'type' | 'linkname'> {
  /** Undefined for a socket, of which archives know nothing. */
  readonly type: Exclude<WrittenType, 'link'> | undefined;
  /** What a symlink says. */
  readonly target: ByteString;
  /** Tells files of several names apart; undefined for one that has a single name. */
  readonly linkKey: string | undefined;
}

const attr = new Attr();
const record: StatRecord = { uid: 0, gid: 0, mode: 0, type: 0, major: 0, minor: 0 };
const LINK_CAPACITY = 4096;
const link = new Memory(LINK_CAPACITY);

const TYPES: Readonly<Record<number, FileDescription['type']>> = {
  [S_IFREG]: 'file',
  [S_IFDIR]: 'directory',
  [S_IFLNK]: 'symlink',
  [S_IFCHR]: 'character-device',
  [S_IFBLK]: 'block-device',
  [S_IFIFO]: 'fifo',
};

/**
 * Describes `name` in `dirfd`, not followed, or with `SELF` the open `dirfd` itself, as users of a union see it.
 *
 * @param shown the file's path, for warnings.
 */
export function describeFile(
  dirfd: number,
  name: ByteString,
  records: OwnerRecords,
  shown: ByteString,
  warnings: Warnings,
): FileDescription {
  check(name === SELF ? fstat(dirfd, attr) : statat(dirfd, name, attr), `look at ${toText(shown)}`);
  const realType = attr.mode & S_IFMT;
  const linkKey = attr.nlink > 1 && realType !== S_IFDIR ? `${attr.dev}:${attr.ino}` : undefined;
  const target = realType === S_IFLNK ? readTarget(dirfd, name, shown) : '';
  if (records !== REAL_OWNERS) applyRecord(dirfd, name, records);
  const type = attr.mode & S_IFMT;
  const described: Omit<FileDescription, 'xattrs'> = {
    type: type === S_IFSOCK ? undefined : TYPES[type],
    mode: attr.mode & 0o7777,
    uid: attr.uid,
    gid: attr.gid,
    size: type === S_IFREG ? attr.size : 0,
    mtime: { seconds: attr.mtimeSec, nanoseconds: attr.mtimeNsec },
    major: type === S_IFCHR || type === S_IFBLK ? attr.rdevMajor : 0,
    minor: type === S_IFCHR || type === S_IFBLK ? attr.rdevMinor : 0,
    target,
    linkKey,
  };
  return { ...described, xattrs: readXattrs(dirfd, name, records, shown, warnings) };
}

function readTarget(dirfd: number, name: ByteString, shown: ByteString): ByteString {
  const length = check(readlinkat(dirfd, name, link.address, link.size), `read the symlink ${toText(shown)}`);
  return link.bytes.toString('latin1', 0, length);
}

/** As the union does it: see `applyOverride` of fs/overlay. */
function applyRecord(dirfd: number, name: ByteString, records: OwnerRecords): void {
  const real = attr.mode & S_IFMT;
  if (real !== S_IFREG && real !== S_IFDIR) return;
  const text = getxattrText(dirfd, name, records);
  if (typeof text !== 'string' || !readStatRecord(text, record)) return;
  const isReal = record.type === 0 || real === S_IFDIR || record.type === S_IFDIR;
  if (record.uid !== NO_ID) attr.uid = record.uid;
  if (record.gid !== NO_ID) attr.gid = record.gid;
  attr.mode = (isReal ? real : record.type) | record.mode;
  if (!isReal) attr.setRdev(record.major, record.minor);
}

const VALUE_MAX = 65536;
const value = new Memory(VALUE_MAX);

function readXattrs(
  dirfd: number,
  name: ByteString,
  records: OwnerRecords,
  shown: ByteString,
  warnings: Warnings,
): Xattrs {
  const names = xattrNames(dirfd, name);
  if (names === -EOPNOTSUPP) return NO_XATTRS;
  if (typeof names === 'number') check(names, `list the extended attributes of ${toText(shown)}`);
  if (typeof names === 'number' || names.length === 0) return NO_XATTRS;
  const xattrs = new Map<ByteString, ByteString>();
  for (const stored of names) {
    const xattr = shownXattr(stored, records);
    if (!travels(xattr)) continue;
    if (xattr.includes('=')) {
      warnings.add(
        'extended attribute whose name an archive cannot hold is left out',
        `${toText(xattr)} of ${toText(shown)}`,
      );
      continue;
    }
    const length = getxattr(dirfd, name, stored, value.address, value.size);
    // Gone since it was listed.
    if (length === -ENODATA) continue;
    check(length, `read the extended attribute ${toText(stored)} of ${toText(shown)}`);
    xattrs.set(xattr, value.bytes.toString('latin1', 0, length));
  }
  return xattrs;
}

const ACL = 'system.posix_acl_';

/** Beside records of owners, what ordinary users cannot set is kept under names of ours (fs/overlay/layer-xattrs.ts). */
function shownXattr(stored: ByteString, records: OwnerRecords): ByteString {
  const prefix = records.slice(0, -'stat'.length);
  if (records === REAL_OWNERS || !stored.startsWith(prefix)) return stored;
  const inner = stored.slice(prefix.length);
  const isEncoded =
    inner.startsWith(ACL) || (records === CONTAINERS && (inner.startsWith('security.') || isOverlayXattr(inner)));
  return isEncoded ? inner : stored;
}

/** Whether an attribute belongs to the file, and not to the union, to its filesystem, or to the host. */
function travels(xattr: ByteString): boolean {
  if (isOwnXattr(xattr)) return false;
  if (xattr.startsWith('user.') || xattr.startsWith('trusted.') || xattr.startsWith(ACL)) return true;
  return xattr.startsWith('security.') && !isHostLabel(xattr);
}
