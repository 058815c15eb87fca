import { toBytes } from '../../fs/sys/bytes.ts';
import { type Store } from '../image/store.ts';
import { unpackedImage } from '../image/unpack-image.ts';
import { type Warnings } from '../image/warnings.ts';
import { type Change } from './diff.ts';
import { diffTrees } from './tree-diff.ts';

/** What an image shows otherwise than another, or than itself without its topmost layer: podman's order of the two. */
export async function diffImages(
  store: Store,
  reference: string,
  base: string | undefined,
  warnings: Warnings,
): Promise<Change[]> {
  const lock = store.lockContent();
  try {
    const image = await unpackedImage(store, reference, warnings);
    if (base !== undefined) return diffTrees((await unpackedImage(store, base, warnings)).layers, image.layers);
    const parent = store.layers.stack(image.chainIds.slice(0, -1)).map(toBytes);
    return diffTrees(parent, image.layers);
  } finally {
    lock.release();
  }
}
