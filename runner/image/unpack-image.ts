import { digestOfFile } from './digest.ts';
import { type Image } from './image.ts';
import { type ImageLayout } from './layout.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { type Descriptor, parseManifest } from './manifest.ts';
import { type NewLayer } from './new-image.ts';
import { hostPlatform } from './platform.ts';
import { type Store } from './store.ts';
import { type Warnings } from './warnings.ts';

/**
 * An image of the store for those who use its layers. One that skopeo or umoci has put there, of which only blobs are
 * in the store, is unpacked now, as hostile as one that comes from a registry.
 */
export async function unpackedImage(
  store: Store,
  reference: string,
  warnings: Warnings,
  limits: Limits = DEFAULT_LIMITS,
): Promise<Image> {
  const image = store.resolve(reference);
  if (image.unpacked) return image;
  // Rarely needed: a start loads what unpacks only with something to unpack.
  const { LayerIngester } = await import('./ingest.ts');
  const content = store.lockContent();
  const scratch = store.scratch();
  try {
    const layers = await layersOf(store, image);
    await new LayerIngester(store, scratch, { platform: hostPlatform(), limits, warnings }).ingest(
      layers,
      image.diffIds,
    );
    return store.resolve(image.id);
  } catch (error) {
    throw new Error(`cannot unpack image ${reference}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  } finally {
    content.release();
    scratch.remove();
  }
}

async function layersOf(store: Store, { manifests: [manifest], diffIds, chainIds }: Image): Promise<NewLayer[]> {
  if (manifest === undefined) throw new Error('it has no manifest');
  const { layers } = parseManifest(store.layout.readDocument(manifest), `manifest ${manifest}`);
  if (layers.length !== diffIds.length || layers.length === 0) {
    throw new Error(
      `manifest ${manifest} has ${layers.length} layers, where its configuration names ${diffIds.length}`,
    );
  }
  for (const [at, layer] of layers.entries()) {
    const chainId = chainIds[at];
    if (chainId !== undefined && !store.layers.isOf(chainId, layer.digest)) await checkBlob(store.layout, layer);
  }
  return layers.map(({ digest, size, mediaType }) => ({
    file: { path: store.layout.path(digest), size, digest },
    mediaType,
  }));
}

/** @throws where the blob of the store is not there, or is not what the descriptor says. */
async function checkBlob(layout: ImageLayout, { digest, size }: Descriptor): Promise<void> {
  const found = layout.sizeOf(digest);
  if (found === undefined) {
    throw new Error(`layer ${digest} is not in the store; pull or load the image again`);
  }
  if (found !== size) throw new Error(`layer ${digest} has ${found} bytes, where ${size} are expected`);
  if ((await digestOfFile(layout.path(digest))) !== digest) {
    throw new Error(`layer ${digest} of the store is damaged; pull or load the image again`);
  }
}
