import { DOT_OPAQUE, hiddenBy, isDotMetaName } from '../layer-format.ts';
import { Attr } from '../sys/attr.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import { DT_DIR, S_IFDIR, S_IFMT, S_IFREG } from '../sys/constants.ts';
import { statat } from '../sys/file.ts';
import { SELF } from '../sys/xattr.ts';
import { type CheckedLayer } from './checked-layer.ts';
import { type CheckedEntry } from './entry.ts';

const ORPHAN = 'hides a name that no layer below has';
/** fuse-overlayfs puts a whiteout of `.wh..wh..opq`, as it reads it, into an opaque directory. */
const FUSE_OVERLAYFS_OPAQUE = '.wh..opq';
const LOOK = 'look at what is in it, move it out of the layer or remove it';

const beside = new Attr();

/** A whiteout of overlayfs's form, character device 0:0. */
export function checkWhiteoutDevice(layer: CheckedLayer, { directory, name, lower }: CheckedEntry): void {
  if (!layer.hasLowers || lower.lowerVisible || name === FUSE_OVERLAYFS_OPAQUE) return;
  const place = { directory, name };
  layer.report('whiteout-orphan', place, `a whiteout that ${ORPHAN}`, layer.repairs.removeFile(place));
}

/** A whiteout in the form of an xattr, of a regular file; answers whether the file is one, or meant as one. */
export function checkXattrWhiteout(layer: CheckedLayer, entry: CheckedEntry, xattr: ByteString, attr: Attr): void {
  const { directory, name, lower } = entry;
  const place = { directory, name };
  if (attr.size > 0) {
    layer.report('whiteout-not-empty', place, `a whiteout (${xattr}) with ${attr.size} bytes of data`, LOOK);
  } else if (!directory.xattrWhiteouts) {
    reportUnmarked(layer, entry, xattr);
  } else if (layer.hasLowers && !lower.lowerVisible) {
    layer.report('whiteout-orphan', place, `a whiteout that ${ORPHAN}`, layer.repairs.removeFile(place));
  }
}

function reportUnmarked(layer: CheckedLayer, { directory, name, lower }: CheckedEntry, xattr: ByteString): void {
  const { repairs } = layer;
  const place = { directory, name };
  const mark = `${xattr.slice(0, xattr.lastIndexOf('.'))}.opaque`;
  const marking = repairs.setXattr({ directory, name: SELF }, mark, 'x');
  let remedy = repairs.removeFile(place);
  // Kernel overlayfs knows such whiteouts in lower layers alone.
  if (lower.lowerVisible) remedy = layer.work < 0 ? marking : repairs.whiteOut(place, layer.work, marking);
  layer.report('whiteout-misplaced', place, `a whiteout (${xattr}) in a directory without ${mark}=x`, remedy);
}

/** A file of AUFS's: `.wh.NAME`, which is empty, or its marks. */
export function checkDotName(layer: CheckedLayer, entry: CheckedEntry, attr: Attr): void {
  const { directory, name } = entry;
  const place = { directory, name };
  if (name === DOT_OPAQUE) {
    if ((attr.mode & S_IFMT) === S_IFREG && attr.size === 0) return;
    const what = (attr.mode & S_IFMT) === S_IFDIR ? 'a directory' : 'no empty regular file';
    layer.report('whiteout-not-empty', place, `a mark of an opaque directory, but ${what}`, LOOK);
    return;
  }
  // AUFS's other directories and files are its affair, and nobody sees them.
  if (isDotMetaName(name)) return;
  const hidden = hiddenBy(name);
  if (hidden === undefined) {
    layer.report('whiteout-nameless', place, 'a whiteout without a name', layer.repairs.removeFile(place));
  } else {
    checkDotWhiteout(layer, entry, hidden);
  }
}

function checkDotWhiteout(layer: CheckedLayer, entry: CheckedEntry, hidden: ByteString): void {
  const { directory, name } = entry;
  const place = { directory, name };
  const below = entry.below.get(hidden);
  if (statat(layer.union.fds.fd(directory), hidden, beside) < 0) {
    if (!layer.hasLowers || below?.lowerVisible === true) return;
    layer.report('whiteout-orphan', place, `a whiteout that ${ORPHAN}`, layer.repairs.removeFile(place));
    return;
  }
  const problem = `a whiteout of ${JSON.stringify(toText(hidden))}, which is beside it`;
  const isMerged = (beside.mode & S_IFMT) === S_IFDIR && below?.lowerVisible === true && below.lowerType === DT_DIR;
  if (isMerged) {
    const choice = `remove it to keep both merged, or mark the directory as opaque (${layer.prefix}opaque=y) and then remove it`;
    layer.report('whiteout-ambiguous', place, problem, choice);
  } else {
    layer.report('whiteout-doubled', place, problem, layer.repairs.removeFile(place));
  }
}
