import { type OverlayOptions } from '../overlay/options.ts';

/** What to check, and what to do about it. */
export interface FsckOptions {
  /** As for a mount; without `upper` it is the lower layers that are checked. Lower layers may be left out. */
  readonly overlay: OverlayOptions;
  /** Mend what can be mended without loss. */
  readonly repair?: boolean;
  /** Take the mark of a volatile mount for something that can be mended. */
  readonly clearVolatile?: boolean;
  /** Check the lower layers, too, which are never changed. */
  readonly allLayers?: boolean;
}
