import { type ByteString } from '../sys/bytes.ts';
import { type FileOffset } from '../sys/file-offset.ts';
import { S_IFDIR } from '../sys/constants.ts';
import { EIO } from '../sys/errno.ts';
import { type DirectoryIndex } from './directory-index.ts';
import { type Handle } from './handle.ts';
import { type Layer } from './layer.ts';
import { PROTECTION } from './protection.ts';
import { type RealDirectory } from './real-directory.ts';
import { type ResidentFile } from './resident-file.ts';

export const NO_LOWERS: readonly RealDirectory[] = [];

/** A copy of a file's data that is under way, or done and not yet put in its place. */
export interface PendingCopy {
  /** Its name in the workdir. */
  readonly temporary: ByteString;
  readonly from: number;
  readonly to: number;
  readonly length: FileOffset;
  readonly job: number;
}

/** Bits of `Inode.lacks`. */
export const LACKS = {
  capability: 1,
  /** All that users could see. */
  all: 2,
  /** It was looked at, and has some. */
  notAll: 4,
} as const;

/** Another name of a file with hard links. */
export interface Alias {
  readonly parent: Inode;
  readonly name: ByteString;
}

/** A node number that the kernel had for an inode before it was renumbered, and may still know. */
export interface FormerNode {
  readonly id: number;
  readonly generation: number;
  nlookup: number;
}

/**
 * A file of the union that the kernel knows or that a request is about.
 *
 * Where its data is: a directory has `upper` and `lowers` (top first; at least one of them there), any other file has
 * `real` and `realName`, the directory and name by which it is reached in its layer. Once its last name is gone,
 * `pinned` or an open handle holds it instead, and `real` is undefined; it is then in the upper layer.
 */
export class Inode {
  /** Changes where the kernel is to take it for another file; see `InodeTable.renumber`. */
  id: number;
  generation: number;
  formers: FormerNode[] | undefined = undefined;
  /** References that the kernel holds. */
  nlookup = 0;
  /** The kernel has let go of it, and may come back for it by a file handle. */
  kept = false;
  /** S_IFMT bits. */
  readonly type: number;
  /** st_ino as users see it: constant over copy-up. */
  ino: number;

  /** The directory and name by which the union reaches it; undefined for the root and for what has no name. */
  parent: Inode | undefined;
  name: ByteString;
  /** Further names, of a file with hard links. */
  aliases: Alias[] | undefined = undefined;

  upper: RealDirectory | undefined = undefined;
  lowers: readonly RealDirectory[] = NO_LOWERS;
  /** Inodes of this directory that are in memory, by name. */
  children: Map<ByteString, Inode> | undefined = undefined;
  /** Its entries are too many for the cache to keep an index. */
  tooLarge = false;
  /** The index by which open handles list it: there is one for all of them, kept up to date. */
  listed: DirectoryIndex | undefined = undefined;

  real: RealDirectory | undefined = undefined;
  realName: ByteString = '';
  /** Its upper file holds all but the data (overlayfs's metacopy), which is in a layer below, if anywhere. */
  metacopy = false;
  data: RealDirectory | undefined = undefined;
  dataName: ByteString = '';
  /** Path of its data in the data-only layers, in which it is looked for when it is first needed. */
  dataPath: ByteString = '';
  /** Why its data cannot be had where neither is there: a negative errno. */
  dataFault = -EIO;
  /** Its upper file tells by a redirect where the data is, and so can be renamed. */
  dataRedirected = false;
  /** Its data is being copied up by the slow lane; see copy-up.ts. */
  copying: PendingCopy | undefined = undefined;
  /** Real inode number in `real`'s layer, for files of more than one name. */
  realIno = 0;
  /** The layer that leads all names of this file here. */
  linkedIn: Layer | undefined = undefined;
  /** Where a copied-up file of several names came from: its other lower names still lead here. */
  origin: Layer | undefined = undefined;
  originIno = 0;
  /** st_nlink in its lower layer, and how many of those names whiteouts have hidden since. */
  lowerNlink = 0;
  lostLinks = 0;
  /** Its name in the index of hard links, where it is reached then; see link-index.ts. */
  indexName: ByteString = '';
  /** Bits of `PROTECTION`: what `chattr` forbids. */
  protection: number = PROTECTION.unread;
  /** Bits of `LACKS`: xattrs that it was asked for and does not have; nothing but setxattr(2) gives a file some. */
  lacks = 0;
  /** It was copied up, and shows its origin's inode number. */
  hasOrigin = false;
  /** Links that users see beyond those that the upper's file has: names still in the lower layers. */
  lowerLinks = 0;

  /** O_PATH descriptor of a file whose last name is gone, or -1. */
  pinned = -1;
  /** It has no name any more. */
  unlinked = false;
  /** First of its open files. */
  handles: Handle | undefined = undefined;

  /** What is open of it where the kernel opens files without asking; see resident-files.ts. */
  reader: ResidentFile | undefined = undefined;
  writer: ResidentFile | undefined = undefined;

  /** What `Passthrough.register` answered, or 0: the kernel asks for its data. */
  backing = 0;
  /** How many have its present node open through a backing, and how many through its page cache: never both. */
  passing = 0;
  caching = 0;
  /** Its data, in a lower layer, is known to be a program's, or not to be. */
  isProgram: boolean | undefined = undefined;
  /** The kernel has read or written it by itself: what its page cache has from before may be old. */
  passedThrough = false;
  /** It may be mapped for writing without our knowledge, and so change. */
  changesUnseen = false;

  constructor(id: number, generation: number, type: number, ino: number, parent: Inode | undefined, name: ByteString) {
    this.id = id;
    this.generation = generation;
    this.type = type;
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
