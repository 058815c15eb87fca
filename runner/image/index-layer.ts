import { open, rename } from 'node:fs/promises';

import { toBytes } from '../../fs/sys/bytes.ts';
import { gatherIndex, settleIndex, withLayer } from '../../fs/layer-index/gather.ts';
import { type Digest } from './digest.ts';
import { readKeptOwner } from './entry-metadata.ts';
import { type LayerDirectory } from './layer-directory.ts';
import { type Scratch } from './scratch.ts';
import { type Warnings } from './warnings.ts';

/**
 * The index of a tree that is to become a layer; undefined where unions would not use one. Throws `SystemError` where the
 * tree cannot be read.
 *
 * @param root the tree's root, open.
 */
export function gatherLayerIndex(root: number): Uint8Array | undefined {
  // They read the owners of such a layer from the files' attributes.
  return readKeptOwner(root) === undefined ? gatherIndex(root) : undefined;
}

/** The same; where the tree cannot be read, a warning says so: a layer can do without. */
export function tryGatherLayerIndex(root: number, warnings: Warnings): Uint8Array | undefined {
  try {
    return gatherLayerIndex(root);
  } catch (error) {
    warnOf(error, warnings);
    return undefined;
  }
}

/** Makes `content` the index of a layer, which has its place by now, and makes it last. */
export async function placeLayerIndex(
  layers: LayerDirectory,
  chainId: Digest,
  content: Uint8Array,
  scratch: Scratch,
): Promise<void> {
  const aside = scratch.next();
  withLayer(toBytes(layers.path(chainId)), (root) => settleIndex(content, root));
  const file = await open(aside, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(aside, layers.indexPath(chainId));
}

/** The same; a failure is a warning. */
export async function tryPlaceLayerIndex(
  layers: LayerDirectory,
  chainId: Digest,
  content: Uint8Array | undefined,
  scratch: Scratch,
  warnings: Warnings,
): Promise<void> {
  try {
    if (content !== undefined) await placeLayerIndex(layers, chainId, content, scratch);
  } catch (error) {
    warnOf(error, warnings);
  }
}

function warnOf(error: unknown, warnings: Warnings): void {
  warnings.add('layer has no index, and is read more slowly', error instanceof Error ? error.message : String(error));
}
