import { type Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFDIR, S_IFMT } from '../sys/constants.ts';
import { EINVAL, ENODATA } from '../sys/errno.ts';
import { Memory, copyBytes } from '../sys/memory.ts';
import { setxattr } from '../sys/xattr.ts';
import { type Layer } from './layer.ts';
import { getLayerXattr, removeLayerXattr, storedXattr } from './layer-xattrs.ts';
import { statLayer, writeOverride } from './stat-override.ts';

// POSIX ACLs of files whose modes are in records (stat-override.ts): the kernel's filesystems keep an ACL and the mode
// in step (fs/posix_acl.c); beside a record it is we who do it.

const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';

// linux/posix_acl_xattr.h: a version, then entries of tag, permissions and id.
const VERSION = 2;
const HEADER = 4;
const ENTRY = 8;
const TAG = { userObject: 1, user: 2, groupObject: 4, group: 8, mask: 16, other: 32 } as const;

// XATTR_SIZE_MAX of linux/limits.h.
const acl = new Memory(65536);
let length = 0;

function count(): number {
  return (length - HEADER) / ENTRY;
}

function isValid(): boolean {
  return length > HEADER && Number.isInteger(count()) && acl.view.getUint32(0, true) === VERSION;
}

/** Offset of the first entry of this tag, or -1. */
function find(tag: number): number {
  for (let at = HEADER; at < length; at += ENTRY) if (acl.view.getUint16(at, true) === tag) return at;
  return -1;
}

function permissionsAt(at: number): number {
  return at < 0 ? 0 : acl.view.getUint16(at + 2, true) & 7;
}

function setPermissions(at: number, permissions: number): void {
  if (at >= 0) acl.view.setUint16(at + 2, permissions, true);
}

/** The entry that the group bits of the mode stand for. */
function groupClass(): number {
  const mask = find(TAG.mask);
  return mask >= 0 ? mask : find(TAG.groupObject);
}

/** It says no more than a mode can (posix_acl_equiv_mode). */
function isMode(): boolean {
  return count() === 3 && find(TAG.mask) < 0;
}

function permissionBits(): number {
  return (
    (permissionsAt(find(TAG.userObject)) << 6) | (permissionsAt(groupClass()) << 3) | permissionsAt(find(TAG.other))
  );
}

/** Gives the entries that the mode's bits stand for those of `mode` (posix_acl_chmod). */
function putMode(mode: number): void {
  setPermissions(find(TAG.userObject), (mode >> 6) & 7);
  setPermissions(groupClass(), (mode >> 3) & 7);
  setPermissions(find(TAG.other), mode & 7);
}

function load(layer: Layer, dirfd: number, name: ByteString, xattr: ByteString): boolean {
  const read = getLayerXattr(layer, dirfd, name, xattr, acl.address, acl.size);
  length = Math.max(read, 0);
  return isValid();
}

function store(layer: Layer, dirfd: number, name: ByteString, xattr: ByteString): number {
  return setxattr(dirfd, name, storedXattr(layer, xattr), acl.address, length, 0);
}

function remove(layer: Layer, dirfd: number, name: ByteString, xattr: ByteString): number {
  const removed = removeLayerXattr(layer, dirfd, name, xattr);
  return removed === -ENODATA ? 0 : removed;
}

/** Whether `setAcl` is to be called for this xattr. */
export function isAcl(layer: Layer | undefined, xattr: ByteString): boolean {
  return (xattr === ACCESS || xattr === DEFAULT) && storedXattr(layer, xattr) !== xattr;
}

/**
 * Sets an ACL of a file whose mode is in a record; the mode follows.
 *
 * @param attr scratch.
 */
export function setAcl(
  layer: Layer,
  dirfd: number,
  name: ByteString,
  xattr: ByteString,
  address: number,
  size: number,
  attr: Attr,
): number {
  length = Math.min(size, acl.size);
  copyBytes(acl.address, address, length);
  if (!isValid()) return size === 0 ? remove(layer, dirfd, name, xattr) : -EINVAL;
  if (xattr === DEFAULT) return store(layer, dirfd, name, xattr);
  const stated = statLayer(layer, dirfd, name, attr);
  if (stated < 0) return stated;
  const kept = isMode() ? remove(layer, dirfd, name, ACCESS) : store(layer, dirfd, name, ACCESS);
  if (kept < 0) return kept;
  attr.mode = (attr.mode & ~0o777) | permissionBits();
  return writeOverride(layer, dirfd, name, attr);
}

/** After a chmod: the ACL, where there is one, follows the mode. */
export function chmodAcl(layer: Layer, dirfd: number, name: ByteString, mode: number): number {
  if (!load(layer, dirfd, name, ACCESS)) return 0;
  putMode(mode);
  return store(layer, dirfd, name, ACCESS);
}

/**
 * Whether a directory passes an ACL on. What is made in it has the mode that `inheritedMode` tells, and then gets the
 * ACL by `inheritAcl`.
 */
export function loadDefaultAcl(layer: Layer | undefined, dirfd: number, name: ByteString): boolean {
  return layer !== undefined && storedXattr(layer, DEFAULT) !== DEFAULT && load(layer, dirfd, name, DEFAULT);
}

/** Mode of a new file under the ACL loaded last, in the umask's place (posix_acl_create_masq). */
export function inheritedMode(mode: number): number {
  return mode & (~0o777 | permissionBits());
}

/** Gives a new file the ACL that was loaded from its parent. */
export function inheritAcl(layer: Layer, dirfd: number, name: ByteString, mode: number): number {
  const passedOn = (mode & S_IFMT) === S_IFDIR ? store(layer, dirfd, name, DEFAULT) : 0;
  if (passedOn < 0 || isMode()) return passedOn;
  putMode(mode);
  return store(layer, dirfd, name, ACCESS);
}
