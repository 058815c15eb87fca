import { type Image } from '../../image/image.ts';
import { type Store } from '../../image/store.ts';

/** An image of the store that a container mounts beside its own: it stays for as long as the container. */
export function holdMountedImage(store: Store, reference: string, container: string): Image {
  const image = store.resolve(reference);
  if (!image.unpacked) throw new Error(`image ${reference} is not unpacked: run it once, then mount it`);
  store.hold(image, `${container}-${image.id.slice(-12)}`);
  return image;
}
