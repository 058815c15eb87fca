import { type FileSystem } from '../filesystem.ts';
import { type OverlayOptions } from './options.ts';
import { OverlayFileSystem } from './overlay-filesystem.ts';

/**
 * Opens the layers of a union and answers the filesystem that shows it. It belongs to the thread that made it.
 *
 * @throws Error with one line that says which layer or option is at fault, and why.
 */
export function createOverlay(options: OverlayOptions): FileSystem {
  return new OverlayFileSystem(options);
}
