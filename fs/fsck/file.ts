import { OPAQUE_XATTRS, WHITEOUT_XATTRS } from '../layer-format.ts';
import { type Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFMT, S_IFREG } from '../sys/constants.ts';
import { type CheckedLayer } from './checked-layer.ts';
import { checkRecord, readOwnXattrs } from './marks.ts';
import { checkMetacopy } from './metacopy.ts';
import { checkOrigin } from './origin.ts';
import { type CheckedEntry } from './entry.ts';
import { checkXattrWhiteout } from './whiteouts.ts';

/** Checks the marks of what is no directory; answers whether it was copied up. */
export function checkFile(layer: CheckedLayer, entry: CheckedEntry, attr: Attr): boolean {
  const place = { directory: entry.directory, name: entry.name };
  const own = readOwnXattrs(layer, place);
  if (own.size === 0) return false;
  const isRegular = (attr.mode & S_IFMT) === S_IFREG;
  for (const xattr of misplaced(layer, own, isRegular)) {
    layer.report('mark-misplaced', place, `${xattr} on a file of this kind`, layer.repairs.removeXattr(place, xattr));
  }
  const whiteout = WHITEOUT_XATTRS.find((xattr) => own.has(xattr));
  if (whiteout !== undefined && isRegular) checkXattrWhiteout(layer, entry, whiteout, attr);
  const metacopy = own.get(layer.union.metacopyXattr);
  if (metacopy !== undefined && isRegular) checkMetacopy(layer, entry, own, metacopy, attr);
  const origin = own.get(layer.union.originXattr);
  const isRecorded = checkRecord(layer, place, own);
  if (origin !== undefined) checkOrigin(layer, place, origin, isRecorded ? undefined : attr.mode);
  return origin !== undefined || (metacopy !== undefined && isRegular);
}

/** A regular file that was a metacopy keeps its redirect in kernel overlayfs; nothing else has a use for one. */
function misplaced(layer: CheckedLayer, own: ReadonlyMap<ByteString, ByteString>, isRegular: boolean): ByteString[] {
  const { union, prefix } = layer;
  const marks = [...OPAQUE_XATTRS, `${prefix}impure`];
  if (!isRegular) marks.push(union.metacopyXattr, union.redirectXattr, ...WHITEOUT_XATTRS);
  return marks.filter((xattr) => own.has(xattr));
}
