import { type MountOptions, toBytes } from '../../fs/index.ts';
import { hasSingleId } from '../../fs/sys/id-maps.ts';
import { type Container } from './container.ts';

/**
 * What a container's union is made of. As its upper is read by nothing but lamina, which follows metacopies in `diff`,
 * `commit` and `export`, a `chown -R` or `chmod -R` in it copies no data.
 */
export function unionOf(container: Container): MountOptions['overlay'] {
  const layers = {
    lowers: container.lowers,
    upper: toBytes(container.upper),
    work: toBytes(container.work),
  };
  // Owners that one id cannot give are written down, for whoever has more.
  return hasSingleId() ? { ...layers, xattrPermissions: 2 } : { ...layers, metacopy: true };
}
