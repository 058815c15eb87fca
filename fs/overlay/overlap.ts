import { type ByteString, toText } from '../sys/bytes.ts';
import { realPath } from '../sys/real-path.ts';
import { type OverlayOptions } from './options.ts';

/**
 * Refuses layers that lie in each other so that a change would show in a place where none may, or a file have two places:
 * overlayfs calls it overlapping (fs/overlayfs/super.c, ovl_workdir_ok, ovl_check_layer). An upper inside a lower, as
 * with `lowerdir=/`, is nobody's harm.
 *
 * @throws Error in one line. Paths that do not exist are left to whoever opens them.
 */
export function refuseOverlap({ lowers, dataOnly = [], upper, work }: OverlayOptions): void {
  const layers = new Map<ByteString, string>();
  if (upper !== undefined && work !== undefined) {
    refuseNestedWorkdir(upper, work);
    note(layers, resolvePath(upper), `upperdir ${toText(upper)}`);
    note(layers, resolvePath(work), `workdir ${toText(work)}`);
  }
  const all = [...lowers, ...dataOnly].map((path) => ({ path, real: resolvePath(path) }));
  for (const { path, real } of all) {
    const other = note(layers, real, `lowerdir ${toText(path)}`);
    if (other !== undefined) throw overlap(path, other);
  }
  for (const { path, real } of all) {
    const other = layerAround(layers, real);
    if (other !== undefined) throw overlap(path, other);
  }
}

function overlap(lower: ByteString, other: string): Error {
  return new Error(`cannot use lowerdir ${toText(lower)}: it is or lies in ${other}; give layers that are apart`);
}

function refuseNestedWorkdir(upper: ByteString, work: ByteString): void {
  if (!isWithin(work, upper) && !isWithin(upper, work)) return;
  throw new Error(
    `cannot use workdir ${toText(work)} with upperdir ${toText(upper)}: neither may lie in the other; give a directory beside it`,
  );
}

/** Answers which layer has the path already. */
function note(layers: Map<ByteString, string>, real: ByteString | undefined, description: string): string | undefined {
  if (real === undefined) return undefined;
  const other = layers.get(real);
  layers.set(real, other ?? description);
  return other;
}

/** The layer in which a path lies, if any. */
function layerAround(layers: ReadonlyMap<ByteString, string>, path: ByteString | undefined): string | undefined {
  for (let at = path ?? '/'; at !== '/';) {
    at = at.slice(0, Math.max(1, at.lastIndexOf('/')));
    const layer = layers.get(at);
    if (layer !== undefined) return layer;
  }
  return undefined;
}

function isWithin(path: ByteString, directory: ByteString): boolean {
  const [inner, outer] = [resolvePath(path), resolvePath(directory)];
  if (inner === undefined || outer === undefined) return false;
  return inner === outer || inner.startsWith(outer.endsWith('/') ? outer : `${outer}/`);
}

/** The path without symlinks; undefined where nothing can be reached by it. */
export function resolvePath(path: ByteString): ByteString | undefined {
  try {
    return realPath(path);
  } catch {
    // Not there, or not to be reached: opening it says so.
    return undefined;
  }
}
