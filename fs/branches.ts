import { resolve } from 'node:path';
import { realPath } from './mountpoint.ts';
import type { OverlayOptions } from './overlay/options.ts';
import type { ByteString } from './sys/text.ts';

/** A layer of a mount, as AUFS names it. */
export interface Branch {
  readonly path: ByteString;
  /** `rw`: takes the changes; `ro+wh`: read only, its whiteouts honoured. */
  readonly permission: 'rw' | 'ro+wh';
}

function absolute(path: ByteString): ByteString {
  try {
    return realPath(path);
  } catch {
    return resolve(path);
  }
}

/** A mount's layers, the topmost first. */
export function branchesOf(overlay: OverlayOptions): Branch[] {
  const lowers = overlay.lowers.map((path): Branch => ({ path: absolute(path), permission: 'ro+wh' }));
  if (overlay.upper === undefined) return lowers;
  return [{ path: absolute(overlay.upper), permission: 'rw' }, ...lowers];
}
