import { type ByteString } from '../sys/bytes.ts';
import { type Layer } from './layer.ts';

/**
 * A directory in one layer. Its place is its parent and name, so that a rename above it costs nothing; its file
 * descriptor is opened when needed and kept while the `DirectoryFds` cache has room.
 */
export class RealDirectory {
  readonly layer: Layer;
  /** Undefined for the layer's root. */
  parent: RealDirectory | undefined;
  name: ByteString;
  /** O_PATH descriptor, or -1 while there is none. */
  fd = -1;
  /** What follows is known; see `readMarks`. */
  marksRead = false;
  /** It had no xattr then. */
  isBare = false;
  /** Nothing below it shows through. */
  opaque = false;
  /** Where the layers below have its lower part: a path from their roots, or a name beside its own. */
  redirect: ByteString | undefined = undefined;
  /** It has copied-up files: their inode numbers are those of their origins, and their data may be below. */
  impure = false;
  /** Whether the directory may hold whiteouts in the form of xattrs (`overlay.opaque=x`). */
  xattrWhiteouts = false;

  /** In the index of its layer, once that was asked. */
  place: number | undefined = undefined;

  constructor(layer: Layer, parent: RealDirectory | undefined, name: ByteString) {
    this.layer = layer;
    this.parent = parent;
    this.name = name;
  }
}
