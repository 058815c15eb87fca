import { type Digest } from './digest.ts';
import { type Image } from './image.ts';
import { parseManifest } from './manifest.ts';
import { type Store } from './store.ts';

/** Bytes of an image's layers. */
export interface ImageSize {
  readonly size: number;
  /** Of layers that other images have, too. */
  readonly shared: number;
  /** Of layers that no other has. */
  readonly unique: number;
}

/** How much each image takes, and what of it images share: a layer is there once, however many have it. */
export class ImageSizes {
  readonly #store: Store;
  readonly #users = new Map<Digest, number>();

  constructor(store: Store, images: readonly Image[] = store.list()) {
    this.#store = store;
    for (const { chainIds } of images) {
      for (const chainId of chainIds) this.#users.set(chainId, (this.#users.get(chainId) ?? 0) + 1);
    }
  }

  of(image: Image): ImageSize {
    const sizes = this.layersOf(image);
    const size = sizes.reduce((sum, layer) => sum + layer, 0);
    const shared = image.chainIds.reduce(
      (sum, chainId, at) => sum + ((this.#users.get(chainId) ?? 0) > 1 ? (sizes[at] ?? 0) : 0),
      0,
    );
    return { size, shared, unique: size - shared };
  }

  /** Bytes of each layer, the bottom one first; of one that is not unpacked yet, its archive's. */
  layersOf({ chainIds, manifests: [manifest] }: Image): number[] {
    const { layers, layout } = this.#store;
    if (chainIds.every((chainId) => layers.has(chainId))) return chainIds.map((chainId) => layers.size(chainId));
    const archives =
      manifest === undefined ? [] : parseManifest(layout.readDocument(manifest), `manifest ${manifest}`).layers;
    return chainIds.map((chainId, at) => (layers.has(chainId) ? layers.size(chainId) : (archives[at]?.size ?? 0)));
  }
}
