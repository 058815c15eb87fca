import { type IndexEntry } from '../overlay/directory-index.ts';
import { parseIdentity } from '../overlay/file-handle.ts';
import { type Inode } from '../overlay/inode.ts';
import { type RealDirectory } from '../overlay/real-directory.ts';
import { redirectFault, redirectPath } from '../overlay/redirect.ts';
import { OPAQUE_XATTRS } from '../layer-format.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import { DT_DIR, S_IFDIR } from '../sys/constants.ts';
import { nameToHandle } from '../sys/handle.ts';
import { SELF } from '../sys/xattr.ts';
import { type CheckedLayer } from './checked-layer.ts';
import { checkRecord, readOwnXattrs } from './marks.ts';
import { typeBelow } from './below.ts';
import { checkOrigin } from './origin.ts';
import { type CheckedEntry } from './entry.ts';
import { type Place, type Repair } from './problem.ts';

/**
 * Checks what a directory says of the layers below; answers whether it was copied up.
 *
 * @param entry undefined for the root.
 */
export function checkDirectory(
  layer: CheckedLayer,
  inode: Inode,
  upper: RealDirectory,
  entry: CheckedEntry | undefined,
): boolean {
  const place = { directory: upper, name: SELF };
  const own = readOwnXattrs(layer, place);
  if (own.size === 0) return false;
  for (const xattr of OPAQUE_XATTRS) checkOpaque(layer, place, xattr, own.get(xattr));
  checkMisplaced(layer, place, own);
  checkRecord(layer, place, own);
  const redirect = own.get(layer.union.redirectXattr);
  // The root is where it is; what it was copied from is held against the lower layers as a whole.
  if (entry === undefined) return false;
  if (redirect !== undefined) checkRedirect(layer, inode, upper, redirect, entry);
  const origin = own.get(layer.union.originXattr);
  if (origin === undefined) return false;
  if (checkOrigin(layer, place, origin, S_IFDIR)) checkMerged(layer, inode, upper, origin);
  return true;
}

function checkOpaque(layer: CheckedLayer, place: Place, xattr: ByteString, value: ByteString | undefined): void {
  if (value === undefined || value === 'y' || value === 'x') return;
  const problem = `${xattr} is ${JSON.stringify(toText(value))}, neither "y" nor "x"`;
  layer.report('opaque-value', place, problem, layer.repairs.removeXattr(place, xattr));
}

function checkMisplaced(layer: CheckedLayer, place: Place, own: ReadonlyMap<ByteString, ByteString>): void {
  for (const mark of ['metacopy', 'whiteout']) {
    const xattr = layer.prefix + mark;
    if (!own.has(xattr)) continue;
    layer.report('mark-misplaced', place, `${xattr} on a directory`, layer.repairs.removeXattr(place, xattr));
  }
}

function checkRedirect(
  layer: CheckedLayer,
  inode: Inode,
  upper: RealDirectory,
  redirect: ByteString,
  entry: CheckedEntry,
): void {
  const { lower } = entry;
  const place = { directory: upper, name: SELF };
  const shown = JSON.stringify(toText(redirect));
  const fault = redirectFault(redirect);
  const { redirectXattr } = layer.union;
  if (upper.opaque) {
    const remedy = layer.repairs.removeXattr(place, redirectXattr);
    layer.report('redirect-opaque', place, `opaque, and redirected to ${shown}`, remedy);
  } else if (fault !== undefined) {
    layer.report('redirect-malformed', place, `redirect ${shown} ${fault}`, sever(layer, place, lower));
  } else if (layer.hasLowers && inode.lowers.length === 0) {
    const what = describeTarget(layer, entry, redirect);
    layer.report('redirect-dangling', place, `redirected to ${shown}, ${what}`, sever(layer, place, lower));
  }
}

/** The directory stays as it shows, with nothing below it: it must not be merged with what has its own name there. */
function sever(layer: CheckedLayer, place: Place, lower: IndexEntry): Repair {
  const removal = layer.repairs.removeXattr(place, layer.union.redirectXattr);
  if (!lower.lowerVisible || lower.lowerType !== DT_DIR) return removal;
  return layer.repairs.inOrder(layer.repairs.setXattr(place, `${layer.prefix}opaque`, 'y'), removal);
}

function describeTarget(layer: CheckedLayer, entry: CheckedEntry, redirect: ByteString): string {
  const absolute = redirect.startsWith('/');
  const type = absolute ? typeBelow(layer, redirectPath(redirect)) : entry.below.get(redirect)?.lowerType;
  return type === undefined || type === 0 ? 'which no layer below has' : 'which is not a directory in the layers below';
}

/** A directory that was copied up is merged with what it was copied from. */
function checkMerged(layer: CheckedLayer, inode: Inode, upper: RealDirectory, origin: ByteString): void {
  const [lower] = inode.lowers;
  const identity = parseIdentity(origin);
  if (lower === undefined || identity === undefined) return;
  const merged = nameToHandle(layer.union.fds.fd(lower), SELF);
  if (typeof merged === 'number') return;
  if (merged.bytes === identity.handle.bytes || lower.layer.uuid !== identity.uuid) return;
  const problem = `its ${layer.union.originXattr} is another directory than the one below that it is merged with`;
  const choice = `set ${layer.union.redirectXattr} to the path of the right one, or ${layer.prefix}opaque to "y"`;
  layer.report('origin-mismatch', { directory: upper, name: SELF }, problem, choice);
}
