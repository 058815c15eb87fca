import { PLAIN_XATTRS, isOwnXattr } from '../layer-format.ts';
import { type ByteString } from '../sys/bytes.ts';
import { xattrNames, getxattrText } from '../sys/xattr.ts';
import { type CheckedLayer } from './checked-layer.ts';
import { type Place } from './problem.ts';

const NONE: ReadonlyMap<ByteString, ByteString> = new Map();

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
