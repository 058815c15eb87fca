import { type Digest } from '../image/digest.ts';
import { DEFAULT_LIMITS } from '../image/limits.ts';
import { type Store } from '../image/store.ts';
import { commitContainer, type CommitOptions } from './commit.ts';
import { type Container } from './container.ts';
import { squashImage } from './squash.ts';

/**
 * As `commitContainer`, with all layers as one, those of the container's image, too.
 *
 * @returns the image's id.
 */
export async function commitSquashed(store: Store, container: Container, options: CommitOptions): Promise<Digest> {
  const { name, warnings } = options;
  const id = await commitContainer(store, container, { ...options, name: undefined });
  const message = options.message === '' ? undefined : options.message;
  const squashed = await squashImage(store, id, { name, message, warnings, limits: DEFAULT_LIMITS });
  // With a fixed time it may be one that was there before, and has a name.
  if (store.describe(id).names.length === 0) store.remove(id, true);
  return squashed;
}
