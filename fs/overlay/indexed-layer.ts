import { Attr } from '../sys/attr.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import { DT_CHR, S_IFLNK } from '../sys/constants.ts';
import { fstat } from '../sys/file.ts';
import { log } from '../sys/log.ts';
import { UPPER, type DirectoryIndex } from './directory-index.ts';
import { indexPath, readLayerIndex } from '../layer-index/file.ts';
import { type Inode } from './inode.ts';
import { type Layer } from './layer.ts';
import { HAS_DOT_NAMES, HAS_XATTRS, type LayerIndex, NO_PLACE, ROOT_PLACE } from '../layer-index/layer-index.ts';
import { type RealDirectory } from './real-directory.ts';
import { NO_OVERRIDE } from './stat-override.ts';

// Lower layers with an index of all that is in them; see ../layer-index. What the index does not tell, such as the value
// of an xattr, is asked of the layer's filesystem, as everything is in a layer without one.

const REMEDY = 'lamina index makes it anew, in the store of images lamina system check --repair';

const attr = new Attr();

/** Gives a lower layer its index, where there is one that can be believed. */
export function takeIndex(layer: Layer): void {
  // Owners and modes are in xattrs.
  if (layer.override !== NO_OVERRIDE) return;
  const found = readLayerIndex(layer.path, layer.root.fd);
  if (typeof found === 'string') log(`${toText(indexPath(layer.path))} ${found}: it is not used; ${REMEDY}`);
  else layer.contents = found;
}

/** The place of a directory in its layer's index, or NO_PLACE. */
function placeOf(directory: RealDirectory): number {
  const { contents } = directory.layer;
  if (contents === undefined) return NO_PLACE;
  directory.place ??= findPlace(contents, directory);
  return directory.place;
}

function findPlace(contents: LayerIndex, { parent, name }: RealDirectory): number {
  if (parent === undefined) return ROOT_PLACE;
  const above = placeOf(parent);
  return above === NO_PLACE ? NO_PLACE : contents.find(above, name);
}

/** A directory of which the index tells that it says nothing of the layers below, in any form. */
export function isKnownPlain(directory: RealDirectory): boolean {
  const place = placeOf(directory);
  return place !== NO_PLACE && directory.layer.contents?.flags(place) === 0;
}

/** Adds a lower directory's names, where its layer's index tells them. */
export function addIndexed(directory: RealDirectory, position: number, index: DirectoryIndex): boolean {
  const { contents } = directory.layer;
  const place = placeOf(directory);
  if (contents === undefined || place === NO_PLACE || position === UPPER) return false;
  if (directory.xattrWhiteouts || (contents.flags(place) & HAS_DOT_NAMES) !== 0) return false;
  const end = contents.endOf(place);
  for (let child = contents.firstOf(place); child < end; child++) {
    const type = contents.typeOf(child) >> 12;
    const ino = directory.layer.uniqueIno(contents.ino(child));
    index.edit(contents.name(child)).addLower(position, type, ino, type === DT_CHR && contents.isDeviceZero(child));
  }
  return true;
}

function childOf(directory: RealDirectory, name: ByteString): number {
  const place = placeOf(directory);
  return place === NO_PLACE ? NO_PLACE : (directory.layer.contents?.find(place, name) ?? NO_PLACE);
}

function fill(layer: Layer, place: number, into: Attr): boolean {
  if (place === NO_PLACE || layer.contents === undefined) return false;
  layer.contents.fill(place, into, Math.floor(layer.dev / 0x100000), layer.dev % 0x100000);
  return true;
}

/** Attributes of `name` in a lower directory, where its layer's index tells them. */
export function statIndexed(directory: RealDirectory, name: ByteString, into: Attr): boolean {
  return fill(directory.layer, childOf(directory, name), into);
}

/** The same of a directory itself. */
export function statIndexedDirectory(directory: RealDirectory, into: Attr): boolean {
  return fill(directory.layer, placeOf(directory), into);
}

/** The same of an inode that is in a lower layer. */
export function statIndexedInode(inode: Inode, into: Attr): boolean {
  if (inode.pinned >= 0) return false;
  if (!inode.isDirectory) return inode.real !== undefined && statIndexed(inode.real, inode.realName, into);
  return inode.top !== undefined && statIndexedDirectory(inode.top, into);
}

/** Whether the index tells that a file has no xattr at all. */
export function isKnownBare(directory: RealDirectory, name: ByteString): boolean {
  const place = childOf(directory, name);
  return place !== NO_PLACE && ((directory.layer.contents?.flags(place) ?? HAS_XATTRS) & HAS_XATTRS) === 0;
}

/** Writes a symlink's target at `address` and answers its length, where the index tells it; else 0. */
export function readIndexedTarget(inode: Inode, address: number, size: number): number {
  const { real } = inode;
  const place = real === undefined || inode.pinned >= 0 ? NO_PLACE : childOf(real, inode.realName);
  const contents = real?.layer.contents;
  if (contents === undefined || place === NO_PLACE || contents.typeOf(place) !== S_IFLNK) return 0;
  return contents.readTarget(place, address, size);
}

/**
 * Whether a file that was opened is as its layer's index has it. Where it is not, the layer was changed, and its index is
 * no longer used.
 */
export function isAsIndexed(inode: Inode, fd: number): boolean {
  const { real } = inode;
  // Of a metacopy, another file was opened.
  const place = real === undefined || inode.metacopy ? NO_PLACE : childOf(real, inode.realName);
  const contents = real?.layer.contents;
  if (real === undefined || contents === undefined || place === NO_PLACE) return true;
  if (fstat(fd, attr) === 0 && contents.isCurrent(place, attr)) return true;
  distrust(real.layer);
  return false;
}

function distrust(layer: Layer): void {
  layer.contents = undefined;
  log(`layer ${toText(layer.path)} is not as its index says: the index is not used; ${REMEDY}`);
}
