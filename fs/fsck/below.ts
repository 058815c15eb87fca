import { type IndexEntry } from '../overlay/directory-index.ts';
import { Inode } from '../overlay/inode.ts';
import { findEntry } from '../overlay/merge.ts';
import { type RealDirectory } from '../overlay/real-directory.ts';
import { stackLowers } from '../overlay/stack.ts';
import { type Union } from '../overlay/union.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import { DT_DIR, S_IFDIR } from '../sys/constants.ts';
import { SystemError } from '../sys/errno.ts';
import { type CheckedLayer } from './checked-layer.ts';

/** A directory as the layers below have it, without the checked layer's part. */
export function directoryBelow(lowers: readonly RealDirectory[]): Inode {
  const inode = new Inode(0, S_IFDIR, 0, undefined, '');
  inode.lowers = lowers;
  return inode;
}

/**
 * What the layers below have in a directory as another directory.
 *
 * @throws SystemError where a layer cannot be read.
 */
export function childBelow(union: Union, parent: Inode, name: ByteString): Inode | undefined {
  const entry = entryBelow(union, parent, name);
  if (entry?.lowerType !== DT_DIR) return undefined;
  const lowers = stackLowers(union, parent, name, entry, undefined);
  // Nothing may be mended by half of what the layers have.
  if (typeof lowers === 'number') throw new SystemError(`read the lower layers' ${toText(name)}`, lowers);
  return directoryBelow(lowers);
}

function entryBelow(union: Union, parent: Inode, name: ByteString): IndexEntry | undefined {
  const entry = findEntry(union, parent, name);
  return typeof entry === 'number' || !entry.lowerVisible ? undefined : entry;
}

/** DT_* of what the layers below have at a path; undefined where there is nothing. */
export function typeBelow(layer: CheckedLayer, names: readonly ByteString[]): number | undefined {
  let parent: Inode | undefined = directoryBelow(layer.root().lowers);
  for (const name of names.slice(0, -1)) {
    parent = childBelow(layer.union, parent, name);
    if (parent === undefined) return undefined;
  }
  return entryBelow(layer.union, parent, names[names.length - 1] ?? '')?.lowerType;
}
