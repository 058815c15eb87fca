import { type ByteString } from '../sys/bytes.ts';
import { ENODATA } from '../sys/errno.ts';
import { getxattr, removexattr, xattrNames } from '../sys/xattr.ts';
import { type Layer } from './layer.ts';
import { NO_OVERRIDE, encodesXattrs } from './stat-override.ts';
import { isOverlayXattr } from '../layer-format.ts';

// Where owners are kept in `user.containers.override_stat`, what an ordinary user cannot set is kept in that way, too:
// `security.NAME` as `user.containers.override_security.NAME`, and so are names that mean something to an overlay, which
// one inside the mount may then use. As in fuse-overlayfs (encode_xattr_name). POSIX ACLs are kept so beside records of
// any name: a real one would change the real mode, and names ids that the host may not know.

const PREFIX = 'user.containers.override_';
const ACL = 'system.posix_acl_';
const NAME_MAX = 255;

function isEncodable(name: ByteString): boolean {
  return name.startsWith('security.') || isOverlayXattr(name);
}

/** The name under which a layer keeps what users see as `name`. */
export function storedXattr(layer: Layer | undefined, name: ByteString): ByteString {
  if (layer === undefined || layer.override === NO_OVERRIDE) return name;
  if (name.startsWith(ACL)) return prefixOf(layer) + name;
  return encodesXattrs(layer) && isEncodable(name) ? PREFIX + name : name;
}

/** The name of the layer's records without their `stat`. */
function prefixOf(layer: Layer): ByteString {
  return layer.override.slice(0, -'stat'.length);
}

/** Whether users of the mount can have an xattr of this name although it is one of ours. */
export function isKeptForUsers(layer: Layer | undefined, name: ByteString): boolean {
  return encodesXattrs(layer) && isOverlayXattr(name) && PREFIX.length + name.length <= NAME_MAX;
}

/** What a name on disk is to users. */
function shownXattr(layer: Layer, name: ByteString): ByteString {
  const prefix = prefixOf(layer);
  const inner = name.startsWith(prefix) ? name.slice(prefix.length) : '';
  return inner.startsWith(ACL) || (prefix === PREFIX && isEncodable(inner)) ? inner : name;
}

/** Names as users know them; those of ours are still among them. */
export function layerXattrNames(
  layer: Layer | undefined,
  dirfd: number,
  name: ByteString,
): readonly ByteString[] | number {
  const names = xattrNames(dirfd, name);
  if (typeof names === 'number' || layer === undefined || layer.override === NO_OVERRIDE) return names;
  const isHidden = (stored: ByteString): boolean => isOverlayXattr(stored) && !stored.startsWith(prefixOf(layer));
  return [...new Set(names.filter((stored) => !isHidden(stored)).map((stored) => shownXattr(layer, stored)))];
}

/** The value of what users know as `xattr`: also one that is there under that very name, set by root. */
export function getLayerXattr(
  layer: Layer | undefined,
  dirfd: number,
  name: ByteString,
  xattr: ByteString,
  address: number,
  size: number,
): number {
  const stored = storedXattr(layer, xattr);
  const length = getxattr(dirfd, name, stored, address, size);
  if (length !== -ENODATA || stored === xattr || isOverlayXattr(xattr)) return length;
  return getxattr(dirfd, name, xattr, address, size);
}

export function removeLayerXattr(layer: Layer | undefined, dirfd: number, name: ByteString, xattr: ByteString): number {
  const stored = storedXattr(layer, xattr);
  const removed = removexattr(dirfd, name, stored);
  if (stored === xattr || isOverlayXattr(xattr)) return removed;
  const isThere = getxattr(dirfd, name, xattr, 0, 0) >= 0;
  return isThere ? removexattr(dirfd, name, xattr) : removed;
}
