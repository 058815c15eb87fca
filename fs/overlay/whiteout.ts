import { type Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFCHR, S_IFMT } from '../sys/constants.ts';
import { getxattrText } from '../sys/xattr.ts';

// Forms on disk. Read: all. Written: what the upper allows; see `UpperFormat`.

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
const WHITEOUT_XATTRS: readonly ByteString[] = ['trusted.overlay.whiteout', 'user.overlay.whiteout'];

/** Names that are a layer's own and never shown; a user of the mount cannot make one. */
export function isReservedName(name: ByteString): boolean {
  return name.startsWith(DOT_WHITEOUT);
}

/** The name that `.wh.NAME` hides, or undefined for AUFS's own files and for names that hide nothing. */
export function hiddenBy(name: ByteString): ByteString | undefined {
  if (name.startsWith(DOT_META)) return undefined;
  const hidden = name.slice(DOT_WHITEOUT.length);
  return hidden === '' || hidden === '.' || hidden === '..' ? undefined : hidden;
}

/** Character device 0:0, overlayfs's whiteout (fs/overlayfs/util.c, ovl_is_whiteout). */
export function isWhiteoutDevice(attr: Attr): boolean {
  return (attr.mode & S_IFMT) === S_IFCHR && attr.rdevMajor === 0 && attr.rdevMinor === 0;
}

/** An empty regular file with the whiteout xattr: a whiteout where its directory says `overlay.opaque=x`. */
export function isXattrWhiteout(dirfd: number, name: ByteString): boolean {
  return WHITEOUT_XATTRS.some((xattr) => typeof getxattrText(dirfd, name, xattr) === 'string');
}

const OWN_XATTRS: readonly ByteString[] = [
  'trusted.overlay.',
  'user.overlay.',
  'user.fuseoverlayfs.',
  'security.fuseoverlayfs.',
  'user.containers.override_stat',
];

/** Extended attributes that are ours: hidden from users of the mount, and not theirs to set. */
export function isOwnXattr(name: ByteString): boolean {
  return OWN_XATTRS.some((own) => name.startsWith(own));
}
