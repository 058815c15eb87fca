import { type ByteString } from '../sys/bytes.ts';
import { S_IFREG } from '../sys/constants.ts';
import { ENODATA, EOPNOTSUPP, EPERM, ERANGE, EROFS } from '../sys/errno.ts';
import { Memory, copyBytes } from '../sys/memory.ts';
import { setxattr } from '../sys/xattr.ts';
import { METADATA } from './copy-limit.ts';
import { ensureUpper } from './copy-up.ts';
import { examine } from './examined-xattrs.ts';
import { LACKS, type Inode } from './inode.ts';
import { type Layer } from './layer.ts';
import { getLayerXattr, isKeptForUsers, layerXattrNames, removeLayerXattr, storedXattr } from './layer-xattrs.ts';
import { refuseChange } from './protection.ts';
import { isAcl, setAcl } from './recorded-acl.ts';
import { NO_OVERRIDE } from './stat-override.ts';
import { type Union } from './union.ts';
import { isOwnXattr } from '../layer-format.ts';

const CAPABILITY = 'security.capability';

/** Names by their namespaces (xattr(7)), with which EINVAL and EOPNOTSUPP have nothing to do. */
const NAMESPACES = [/^security\../, /^user\../, /^trusted\../, /^system\.posix_acl_(access|default)$/] as const;
const SECURITY = 0;

// XATTR_LIST_MAX of linux/limits.h.
const list = new Memory(65536);

/** Why a user may not touch this xattr, or 0. */
function refusal(union: Union, layer: Layer | undefined, name: ByteString, own: number): number {
  if (union.options.noXattrs === true) return -EOPNOTSUPP;
  if (union.options.noAcl === true && name.startsWith('system.posix_acl_')) return -EOPNOTSUPP;
  return isOwnXattr(name) && !isKeptForUsers(layer, name) ? own : 0;
}

export function getInodeXattr(union: Union, inode: Inode, name: ByteString, address: number, size: number): number {
  const layer = union.layerOf(inode);
  const refused = refusal(union, layer, name, -ENODATA);
  if (refused < 0) return refused;
  if (isLacking(inode, layer, name) || provesLacking(union, inode, layer, name)) return -ENODATA;
  const length = getLayerXattr(layer, union.dirfdOf(inode), union.nameOf(inode), name, address, size);
  if (length === -ENODATA && union.isSoleWriter) noteLack(union, inode, layer, name);
  return length;
}

/** The kernel asks before each write(2), and programs for each file that they list; FUSE keeps no such answer. */
function isLacking(inode: Inode, layer: Layer | undefined, name: ByteString): boolean {
  if ((inode.lacks & LACKS.capability) !== 0 && name === CAPABILITY) return true;
  if ((inode.lacks & LACKS.all) === 0) return false;
  return ((layer?.xattrNamespaces ?? 0) & namespaceOf(inode, name)) !== 0;
}

/** A bit for the namespace; 0 for one that is another for each type of file, or not known. */
function namespaceOf(inode: Inode, name: ByteString): number {
  const at = NAMESPACES.findIndex((names) => names.test(name));
  const isFixed = inode.isDirectory || inode.type === S_IFREG || at === SECURITY;
  return at < 0 || !isFixed ? 0 : 1 << at;
}

/** A file was asked for an xattr that it does not have: elsewhere the filesystem answers EOPNOTSUPP. */
function noteLack(union: Union, inode: Inode, layer: Layer | undefined, name: ByteString): void {
  if (name === CAPABILITY) inode.lacks |= LACKS.capability;
  if (layer?.override !== NO_OVERRIDE) return;
  layer.xattrNamespaces |= namespaceOf(inode, name);
  examineOnce(union, inode);
}

function examineOnce(union: Union, inode: Inode): void {
  if (inode.lacks <= LACKS.capability) examine(inode, union.dirfdOf(inode), union.nameOf(inode));
}

/** Most files have no xattr at all, which their list says of all names at once. */
function provesLacking(union: Union, inode: Inode, layer: Layer | undefined, name: ByteString): boolean {
  if (layer?.override !== NO_OVERRIDE || !union.isSoleWriter) return false;
  if ((layer.xattrNamespaces & namespaceOf(inode, name)) === 0) return false;
  examineOnce(union, inode);
  return (inode.lacks & LACKS.all) !== 0;
}

/**
 * Names without the union's own, written at `address`; with `size` 0, the length needed.
 *
 * @param trusted with those in `trusted.*`, which only root sees (xattr(7)).
 */
export function listInodeXattrs(union: Union, inode: Inode, address: number, size: number, trusted: boolean): number {
  if (union.options.noXattrs === true) return -EOPNOTSUPP;
  if ((inode.lacks & LACKS.all) !== 0) return 0;
  const layer = union.layerOf(inode);
  const all = layerXattrNames(layer, union.dirfdOf(inode), union.nameOf(inode));
  if (typeof all === 'number') return all;
  let names = '';
  for (const name of all) {
    const isShown = trusted || !name.startsWith('trusted.');
    if (isShown && refusal(union, layer, name, -ENODATA) === 0) names += `${name}\0`;
  }
  if (size === 0) return names.length;
  if (names.length > size) return -ERANGE;
  list.bytes.write(names, 'latin1');
  copyBytes(address, list.address, names.length);
  return names.length;
}

export function setInodeXattr(
  union: Union,
  inode: Inode,
  name: ByteString,
  address: number,
  size: number,
  flags: number,
): number {
  const refused = refuseXattrChange(union, inode, name);
  if (refused < 0) return refused;
  const raised = ensureUpper(union, inode, METADATA);
  if (raised < 0) return raised;
  // Under whichever name: records keep users' xattrs under further ones.
  inode.lacks = 0;
  if (union.upper !== undefined && isAcl(union.upper, name)) {
    return setAcl(union.upper, union.dirfdOf(inode), union.nameOf(inode), name, address, size, union.scratch);
  }
  const stored = storedXattr(union.upper, name);
  return setxattr(union.dirfdOf(inode), union.nameOf(inode), stored, address, size, flags);
}

export function removeInodeXattr(union: Union, inode: Inode, name: ByteString): number {
  const refused = refuseXattrChange(union, inode, name);
  if (refused < 0) return refused;
  if (!inode.isUpper) {
    // Nothing to remove is no reason to copy.
    const there = getLayerXattr(union.layerOf(inode), union.dirfdOf(inode), union.nameOf(inode), name, 0, 0);
    if (there < 0 && there !== -ERANGE) return removalStatus(name, there);
  }
  const raised = ensureUpper(union, inode, METADATA);
  if (raised < 0) return raised;
  return removalStatus(name, removeLayerXattr(union.layerOf(inode), union.dirfdOf(inode), union.nameOf(inode), name));
}

/** The kernel's filesystems are content to remove an ACL that is not there (the `set_acl` of ext4, XFS, tmpfs, Btrfs). */
function removalStatus(name: ByteString, status: number): number {
  return status === -ENODATA && name.startsWith('system.posix_acl_') ? 0 : status;
}

function refuseXattrChange(union: Union, inode: Inode, name: ByteString): number {
  if (union.upper === undefined) return -EROFS;
  const refused = refuseChange(union, inode);
  if (refused < 0) return refused;
  return refusal(union, union.upper, name, -EPERM);
}
