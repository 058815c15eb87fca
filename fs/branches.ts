import { resolve } from 'node:path';
import { realPath } from './sys/real-path.ts';
import type { OverlayOptions } from './overlay/options.ts';
import type { ByteString } from './sys/text.ts';

/** A layer of a mount, as AUFS names it. */
export interface Branch {
  readonly path: ByteString;
  /** `rw`: takes the changes; `ro+wh`: read only, its whiteouts honoured; `ro`: data-only, its names do not show. */
  readonly permission: 'rw' | 'ro+wh' | 'ro';
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
  for (const path of overlay.dataOnly ?? []) lowers.push({ path: absolute(path), permission: 'ro' });
  if (overlay.upper === undefined) return lowers;
  return [{ path: absolute(overlay.upper), permission: 'rw' }, ...lowers];
}
