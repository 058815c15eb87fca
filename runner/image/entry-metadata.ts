import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import { EINVAL, EOPNOTSUPP, EPERM, SystemError } from '../../fs/sys/errno.ts';
import { hasAllIds } from '../../fs/sys/id-maps.ts';
import { Memory } from '../../fs/sys/memory.ts';
import { chmodat, chownat, fchmod, fchown, futimens, Times, utimensat } from '../../fs/sys/metadata.ts';
import { getxattrText, SELF, setxattr, setxattrText } from '../../fs/sys/xattr.ts';
import { ACL_RECORDS, parseAcl } from './acl.ts';
import { PAX_XATTR, type PaxRecords, type Timestamp } from './pax.ts';
import { type Warnings } from './warnings.ts';

/** Owner, mode, times and extended attributes, as an archive or a lower layer has them. */
export interface Metadata {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
  readonly xattrs: Xattrs;
}

export type Xattrs = ReadonlyMap<ByteString, ByteString>;

export const NO_XATTRS: Xattrs = new Map();

/**
 * Owner and mode of a file whose owner the kernel would not take, and the type of one whose type it would not:
 * containers/storage's attribute, `uid:gid:mode[:type]`. The union reads it in layers whose root has one.
 */
const OVERRIDE_STAT = 'user.containers.override_stat';

// What the union and its peers steer by. In an archive they would let a layer hide or redirect what is below it.
const RESERVED =
  /^(?:trusted\.overlay\.|user\.overlay\.|user\.fuseoverlayfs\.|security\.fuseoverlayfs\.|user\.containers\.override_)/;

export function isReservedXattr(name: ByteString): boolean {
  return RESERVED.test(name);
}

const XATTR_NAME_MAX = 255;
const XATTR_SIZE_MAX = 65536;

// Labels and hashes that a host's security modules give its files: they mean nothing on another, nor are they an image's to set.
const HOST_LABEL = /^security\.(?:selinux|apparmor|evm|ima|SMACK64.*)$/;

export function isHostLabel(name: ByteString): boolean {
  return HOST_LABEL.test(name);
}

/** Extended attributes in an entry's PAX records: star's form, which docker, umoci and GNU tar write, and its ACLs. */
export function xattrsOf(pax: PaxRecords | undefined, warnings: Warnings): Xattrs {
  if (pax === undefined) return NO_XATTRS;
  const xattrs = new Map<ByteString, ByteString>();
  for (const [key, value] of pax) {
    const acl = ACL_RECORDS.get(key);
    if (acl !== undefined && !pax.has(PAX_XATTR + acl)) xattrs.set(acl, aclOf(value, warnings));
    if (!key.startsWith(PAX_XATTR)) continue;
    const name = key.slice(PAX_XATTR.length);
    checkXattr(name, value);
    if (isHostLabel(name)) warnings.add('label of the machine that made the archive is left out', toText(name));
    else xattrs.set(name, value);
  }
  return xattrs;
}

function checkXattr(name: ByteString, value: ByteString): void {
  if (isReservedXattr(name)) throw new Error(`it sets ${toText(name)}, which would steer the union itself`);
  if (name === '' || name.length > XATTR_NAME_MAX || name.includes('\0')) {
    throw new Error('it has an extended attribute whose name is not valid');
  }
  if (value.length > XATTR_SIZE_MAX) throw new Error(`its extended attribute ${toText(name)} is over 64 KiB`);
}

function aclOf(text: ByteString, warnings: Warnings): ByteString {
  const { xattr, nameless } = parseAcl(text);
  if (nameless > 0) {
    warnings.add(
      'entry of an ACL names its user or group by no number, and is left out',
      toText(text.split('\n').join(',')),
    );
  }
  if (xattr.length > XATTR_SIZE_MAX) throw new Error('it has an ACL over 64 KiB');
  return xattr;
}

const times = new Times();
const value = new Memory(XATTR_SIZE_MAX);

/** A file that metadata is set on: `name` in `dirfd`, not followed, or with `SELF` the open `dirfd` itself. */
export interface Target {
  readonly dirfd: number;
  readonly name: ByteString;
  readonly isSymlink: boolean;
}

/**
 * Sets all of `metadata`, in the one order that works: chown clears set-id bits and file capabilities, so mode and
 * attributes follow it; an ACL sets mode bits, so it follows the mode; and all of it changes times.
 *
 * Answers whether the owner is kept in an attribute.
 */
export function applyMetadata(target: Target, metadata: Metadata, warnings: Warnings): boolean {
  const isKept = applyOwner(target, metadata, warnings);
  if (!target.isSymlink) {
    const { dirfd, name } = target;
    must(name === SELF ? fchmod(dirfd, metadata.mode) : chmodat(dirfd, name, metadata.mode), 'set the mode');
  }
  for (const [xattr, content] of metadata.xattrs) applyXattr(target, xattr, content, warnings);
  applyTimes(target, metadata.mtime);
  return isKept;
}

/** Makes an empty regular file stand for a device node. False where the filesystem cannot keep that. */
export function standForDevice(fd: number, device: string, metadata: Metadata): boolean {
  const target = { dirfd: fd, name: SELF, isSymlink: false };
  if (setxattrText(fd, SELF, OVERRIDE_STAT, `${recordOf(metadata)}:${device}`) < 0) return false;
  applyTimes(target, metadata.mtime);
  return true;
}

/** Tells the union that files of the layer whose root this is have such attributes. */
export function markKeptOwners(root: number, metadata: Metadata): void {
  if (readKeptOwner(root) === undefined) setxattrText(root, SELF, OVERRIDE_STAT, recordOf(metadata));
}

function recordOf({ uid, gid, mode }: Metadata): string {
  return `${uid}:${gid}:${mode.toString(8).padStart(4, '0')}`;
}

function must(status: number, attempt: string): void {
  if (status < 0) throw new SystemError(attempt, status);
}

function applyOwner({ dirfd, name, isSymlink }: Target, metadata: Metadata, warnings: Warnings): boolean {
  const { uid, gid } = metadata;
  const status = name === SELF ? fchown(dirfd, uid, gid) : chownat(dirfd, name, uid, gid);
  // EINVAL: an id that the user namespace does not map; EPERM: no right to give files away.
  if (status !== -EINVAL && status !== -EPERM) {
    must(status, `give it to ${uid}:${gid}`);
    return false;
  }
  const kept = isSymlink ? -EPERM : setxattrText(dirfd, name, OVERRIDE_STAT, recordOf(metadata));
  warnings.add(
    kept < 0
      ? 'owner could not be set, nor kept in an extended attribute'
      : `owner could not be set and is kept in ${OVERRIDE_STAT}`,
    `${uid}:${gid}`,
  );
  return kept >= 0;
}

/** Owner that `applyMetadata` had to keep aside for the open file `fd`. */
export function readKeptOwner(fd: number): { readonly uid: number; readonly gid: number } | undefined {
  const kept = getxattrText(fd, SELF, OVERRIDE_STAT);
  const match = typeof kept === 'string' ? /^(\d+):(\d+):/.exec(kept) : null;
  return match === null ? undefined : { uid: Number(match[1]), gid: Number(match[2]) };
}

function applyXattr({ dirfd, name }: Target, xattr: ByteString, content: ByteString, warnings: Warnings): void {
  const length = value.bytes.write(content, 'latin1');
  const status = setxattr(dirfd, name, xattr, value.address, length, 0);
  // Ids that the user namespace does not map can stand in no ACL.
  const isUnmapped = status === -EINVAL && xattr.startsWith('system.posix_acl_') && !hasAllIds();
  if (status === -EOPNOTSUPP || status === -EPERM || isUnmapped) {
    warnings.add('extended attribute cannot be set here and is left out', toText(xattr));
  } else {
    must(status, `set extended attribute ${toText(xattr)}`);
  }
}

function applyTimes({ dirfd, name }: Target, { seconds, nanoseconds }: Timestamp): void {
  const low = seconds >>> 0;
  const high = Math.floor(seconds / 0x100000000);
  times.setAtime(low, high, nanoseconds);
  times.setMtime(low, high, nanoseconds);
  must(name === SELF ? futimens(dirfd, times) : utimensat(dirfd, name, times), 'set its times');
}
