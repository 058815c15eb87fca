import { type ByteSource, decompress } from '../compression.ts';
import { type Digest } from '../digest.ts';
import { type Store } from '../store.ts';
import { readBlob, verified } from './files.ts';
import { type SavedImage } from './saved-image.ts';

/** A layer as the tar archive that it is without its compression. */
export interface PlainLayer {
  /** The diffID. */
  readonly digest: Digest;
  readonly size: number;
  /** What the store has of it. */
  readonly blob: Digest;
}

/** Layers of the store, uncompressed. Their sizes, which an archive has before their content, are kept or counted. */
export class PlainLayers {
  readonly #store: Store;
  readonly #known = new Map<Digest, PlainLayer>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** The image's layers, the bottom one first. */
  async of({ image, manifest }: SavedImage): Promise<PlainLayer[]> {
    const layers: PlainLayer[] = [];
    for (const [at, digest] of image.diffIds.entries()) {
      const blob = manifest.layers[at]?.digest;
      const chainId = image.chainIds[at];
      if (blob === undefined || chainId === undefined) {
        throw new Error(`image ${image.id} has fewer layers than its configuration names`);
      }
      const known = this.#known.get(digest);
      const size = known?.size ?? this.#store.layers.archiveSize(chainId) ?? (await this.#count(blob));
      const layer = known ?? { digest, size, blob };
      this.#known.set(digest, layer);
      layers.push(layer);
    }
    return layers;
  }

  async #count(blob: Digest): Promise<number> {
    let size = 0;
    for await (const chunk of this.#content(blob)) size += chunk.length;
    return size;
  }

  read({ digest, size, blob }: PlainLayer): ByteSource {
    return verified(this.#content(blob), digest, size, `layer ${blob}`);
  }

  #content(blob: Digest): ByteSource {
    return decompress(readBlob(this.#store.layout, blob));
  }
}
