import { type Digest } from './digest.ts';
import { type Image } from './image.ts';

/** A layer, the images that end with it, and the layers that lie on it. */
export interface LayerNode {
  readonly chainId: Digest;
  readonly diffId: Digest;
  /** Bytes of its files. */
  readonly size: number;
  readonly images: readonly Image[];
  readonly above: readonly LayerNode[];
}

interface Growing extends LayerNode {
  readonly images: Image[];
  readonly above: Growing[];
}

/**
 * The layers of images as trees, one for each bottom layer: what images share is one trunk.
 *
 * @param sizesOf bytes of an image's layers, the bottom one first.
 */
export function layerTrees(images: readonly Image[], sizesOf: (image: Image) => readonly number[]): LayerNode[] {
  const roots: Growing[] = [];
  for (const image of images) {
    const sizes = sizesOf(image);
    let level = roots;
    let top: Growing | undefined;
    for (const [at, chainId] of image.chainIds.entries()) {
      top = level.find((node) => node.chainId === chainId);
      if (top === undefined) {
        top = { chainId, diffId: image.diffIds[at] ?? chainId, size: sizes[at] ?? 0, images: [], above: [] };
        level.push(top);
      }
      level = top.above;
    }
    top?.images.push(image);
  }
  return roots;
}
