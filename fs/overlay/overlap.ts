import { realpathSync } from 'node:fs';
import { type ByteString, toText } from '../sys/bytes.ts';
import { type OverlayOptions } from './options.ts';

/**
 * Refuses layers that lie in each other so that a change would show in a place where none may: overlayfs calls it
 * overlapping (fs/overlayfs/super.c, ovl_workdir_ok, ovl_check_layer). An upper inside a lower, as with `lowerdir=/`, is
 * nobody's harm.
 *
 * @throws Error in one line. Paths that do not exist are left to whoever opens them.
 */
export function refuseOverlap({ lowers, upper, work }: OverlayOptions): void {
  if (upper === undefined || work === undefined) return;
  if (isWithin(work, upper) || isWithin(upper, work)) {
    throw new Error(
      `cannot use workdir ${toText(work)} with upperdir ${toText(upper)}: neither may lie in the other; give a directory beside it`,
    );
  }
  for (const lower of lowers) {
    for (const [name, path] of Object.entries({ upperdir: upper, workdir: work })) {
      if (!isWithin(lower, path)) continue;
      throw new Error(
        `cannot use ${name} ${toText(path)}: lowerdir ${toText(lower)} lies in it, and would change with it`,
      );
    }
  }
}

function isWithin(path: ByteString, directory: ByteString): boolean {
  const [inner, outer] = [resolvePath(path), resolvePath(directory)];
  if (inner === undefined || outer === undefined) return false;
  return inner === outer || inner.startsWith(outer.endsWith('/') ? outer : `${outer}/`);
}

/** The path without symlinks; undefined where nothing can be reached by it. */
export function resolvePath(path: ByteString): ByteString | undefined {
  try {
    return realpathSync(Buffer.from(path, 'latin1'), 'latin1');
  } catch {
    // Not there, or not to be reached: opening it says so.
    return undefined;
  }
}
