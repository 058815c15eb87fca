import { PLAIN_XATTRS, isOwnXattr } from '../layer-format.ts';
import { ALL_RECORDS, isRecord } from '../overlay/stat-override.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import { xattrNames, getxattrText } from '../sys/xattr.ts';
import { type CheckedLayer } from './checked-layer.ts';
import { type Place } from './problem.ts';

const NONE: ReadonlyMap<ByteString, ByteString> = new Map();

/** Owner and mode as fuse-overlayfs keeps them in an xattr (`xattr_permissions`): answers whether there is a record. */
export function checkRecord(layer: CheckedLayer, place: Place, own: ReadonlyMap<ByteString, ByteString>): boolean {
  const [xattr] = ALL_RECORDS.filter((name) => own.has(name));
  if (xattr === undefined) return false;
  if (!isRecord(own.get(xattr) ?? '')) {
    const problem = `${xattr} is ${JSON.stringify(toText(own.get(xattr) ?? ''))}, no owner and mode`;
    layer.report('owner-record', place, problem, 'set it to UID:GID:MODE, the mode in octal');
  }
  return true;
}

/** The union's own xattrs on a file, by name. */
export function readOwnXattrs(layer: CheckedLayer, { directory, name }: Place): ReadonlyMap<ByteString, ByteString> {
  const dirfd = layer.union.fds.fd(directory);
  const names = xattrNames(dirfd, name);
  if (typeof names === 'number' || !names.some(isOwnXattr)) return NONE;
  const own = new Map<ByteString, ByteString>();
  for (const xattr of names.filter(isOwnXattr)) {
    const value = getxattrText(dirfd, name, xattr);
    if (typeof value !== 'string') continue;
    own.set(xattr, value);
    // Read in either namespace, whichever the other marks are in.
    if (PLAIN_XATTRS.includes(xattr)) continue;
    if (xattr.startsWith(layer.prefix)) layer.ownMarks++;
    if (xattr.startsWith(layer.otherPrefix)) layer.foreignMarks++;
  }
  return own;
}
