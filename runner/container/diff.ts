import { type ByteString } from '../../fs/sys/bytes.ts';
import { toBytes } from '../../fs/sys/bytes.ts';
import { type ChangedLayers, changesOf } from './changes.ts';
import { type Container } from './container.ts';
import { isWhole } from './driver/vfs.ts';
import { diffTrees } from './tree-diff.ts';

/** One line of `lamina diff`: added, changed or deleted, in docker's letters. */
export interface Change {
  readonly kind: 'A' | 'C' | 'D';
  /** Absolute path in the container. */
  readonly path: ByteString;
}

/** What a container changed, whether it runs or not. */
export function diffContainer(container: Container): Change[] {
  const { upper, work, lowers } = container;
  if (isWhole(container)) return diffTrees(lowers, [toBytes(upper)]);
  return diffLayers({ upper: toBytes(upper), work: toBytes(work), lowers });
}

/**
 * What an upper changed: it is held against the layers below, in the order of paths. Directories on the way to
 * a change count as changed, as they do in docker; one that was moved is gone with all in it where it was, and added with
 * all in it where it is.
 */
export function diffLayers(layers: ChangedLayers): Change[] {
  return [...changesOf(layers)].map(({ kind, path }) => ({ kind, path: `/${path}` }));
}
