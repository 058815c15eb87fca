import { type FileSystem } from '../filesystem.ts';
import { type ReadDirectories } from './look-ahead.ts';
import { type OverlayOptions } from './options.ts';
import { OverlayFileSystem } from './overlay-filesystem.ts';

/**
 * Opens the layers of a union and answers the filesystem that shows it. It belongs to the thread that made it.
 *
 * @param readDirectories has other threads read directories of its layers, in the time until it is destroyed.
 * @throws Error with one line that says which layer or option is at fault, and why.
 */
export function createOverlay(options: OverlayOptions, readDirectories?: ReadDirectories): FileSystem {
  return new OverlayFileSystem(options, readDirectories);
}
