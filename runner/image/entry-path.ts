import { type ByteString } from '../../fs/sys/bytes.ts';
import { type Limits, overLimit } from './limits.ts';

const NAME_MAX = 255;
const WHITEOUT = '.wh.';
/** PATH_MAX less its NUL: what is longer could be made step by step, but hardly opened. */
const PATH_BYTES = 4095;

/**
 * Components of an entry's name, checked. Leading slashes go, as docker has it: names are the image root's. What would
 * climb is refused and not resolved, since no honest archive has it.
 */
export function parseEntryPath(name: ByteString, limits: Limits): ByteString[] {
  if (name.includes('\0')) throw new Error('its name has a NUL byte');
  if (name.length > PATH_BYTES) throw new Error(`its name is longer than ${PATH_BYTES} bytes`);
  const path = name.split('/').filter((component) => component !== '' && component !== '.');
  for (const component of path) {
    if (component === '..') throw new Error('its name climbs with ".." and could leave the layer');
    // The mark that hides a name of full length is longer; no file of its own name is made of it.
    const most = component.startsWith(WHITEOUT) ? NAME_MAX + WHITEOUT.length : NAME_MAX;
    if (component.length > most) throw new Error(`a component of its name is longer than ${NAME_MAX} bytes`);
  }
  if (path.length > limits.depth) throw overLimit('its depth', limits, 'depth');
  return path;
}

const AUFS = '.wh..wh.';
const OPAQUE = '.wh..wh..opq';

/** What a name in a layer archive stands for. */
export type Marker =
  | { readonly kind: 'entry' }
  /** `name` in lower layers is hidden. */
  | { readonly kind: 'whiteout'; readonly name: ByteString }
  /** All that lower layers have in the directory is hidden. */
  | { readonly kind: 'opaque' }
  /** AUFS's own bookkeeping. */
  | { readonly kind: 'ignored' };

/** Reads OCI's whiteout names (they are AUFS's). */
export function markerOf(path: readonly ByteString[]): Marker {
  const last = path.length - 1;
  for (const [at, component] of path.entries()) {
    if (!component.startsWith(WHITEOUT)) continue;
    if (at === last && component === OPAQUE) return { kind: 'opaque' };
    if (component.startsWith(AUFS)) return { kind: 'ignored' };
    if (at < last) throw new Error('it lies in a whiteout');
    return { kind: 'whiteout', name: whiteoutTarget(component) };
  }
  return { kind: 'entry' };
}

function whiteoutTarget(component: ByteString): ByteString {
  const name = component.slice(WHITEOUT.length);
  if (name === '' || name === '.' || name === '..') {
    throw new Error(`it is a whiteout of ${JSON.stringify(name)}, which is no name`);
  }
  return name;
}
