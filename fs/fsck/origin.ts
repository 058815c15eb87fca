import { parseIdentity } from '../overlay/file-handle.ts';
import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFMT } from '../sys/constants.ts';
import { type CheckedLayer } from './checked-layer.ts';
import { type Place } from './problem.ts';

const lower = new Attr();

/**
 * Checks which lower file a copied-up one says that it was; answers whether that one is there.
 *
 * @param mode of the copy; undefined where its type is kept elsewhere.
 */
export function checkOrigin(layer: CheckedLayer, place: Place, origin: ByteString, mode?: number): boolean {
  const { originXattr } = layer.union;
  // Copied up from a filesystem that has no file handles (ovl_set_origin).
  if (origin === '') return false;
  const removal = layer.repairs.removeXattr(place, originXattr);
  const identity = parseIdentity(origin);
  if (identity === undefined) {
    layer.report('origin-malformed', place, `${originXattr} is no file handle`, removal);
    return false;
  }
  if (!layer.hasLowers) return false;
  const sought = layer.identities.seek(identity, lower);
  if (sought === 'unknown') return false;
  layer.originsSought++;
  switch (sought) {
    case 'found':
      layer.originsFound++;
      if (mode === undefined || (lower.mode & S_IFMT) === (mode & S_IFMT)) return true;
      layer.report('origin-type', place, `${originXattr} is a file of another type`, removal);
      return false;
    case 'stale':
      layer.report('origin-stale', place, `${originXattr} is a file that is not there any more`, removal);
      return false;
    case 'foreign':
      layer.report('origin-foreign', place, `${originXattr} is a file of a filesystem that no layer is on`, removal);
      return false;
  }
}
