import { type ByteString } from '../sys/bytes.ts';
import { S_IFDIR } from '../sys/constants.ts';
import { InodeState } from './inode-state.ts';
import { type RealDirectory } from './real-directory.ts';

/** Bits of `Inode.lacks`. */
export const LACKS = {
  capability: 1,
  /** All that users could see. */
  all: 2,
  /** It was looked at, and has some. */
  notAll: 4,
} as const;

/**
 * A file of the union that the kernel knows or that a request is about.
 *
 * Where its data is: a directory has `upper` and `lowers` (top first; at least one of them there), any other file has
 * `real` and `realName`, the directory and name by which it is reached in its layer. Once its last name is gone,
 * `pinned` or an open handle holds it instead, and `real` is undefined; it is then in the upper layer.
 */
export class Inode extends InodeState {
  /** Changes where the kernel is to take it for another file; see `InodeTable.renumber`. */
  id: number;
  /** References that the kernel holds. */
  nlookup = 0;
  /** st_ino as users see it: constant over copy-up. */
  ino: number;

  /** The directory and name by which the union reaches it; undefined for the root and for what has no name. */
  parent: Inode | undefined;
  name: ByteString;

  real: RealDirectory | undefined = undefined;
  realName: ByteString = '';

  constructor(id: number, type: number, ino: number, parent: Inode | undefined, name: ByteString) {
    super(type);
    this.id = id;
    this.ino = ino;
    this.parent = parent;
    this.name = name;
  }

  get isDirectory(): boolean {
    return this.type === S_IFDIR;
  }

  /** Its topmost part is in the upper layer: it can be changed in place. A file without any name is there always. */
  get isUpper(): boolean {
    if (this.isDirectory) return this.upper !== undefined || this.pinned >= 0;
    return this.real === undefined || this.real.layer.writable;
  }

  /** The directory's topmost part. */
  get top(): RealDirectory | undefined {
    return this.upper ?? this.lowers[0];
  }

  addChild(name: ByteString, child: Inode): void {
    this.children ??= new Map<ByteString, Inode>();
    this.children.set(name, child);
  }
}
