import { type ByteString } from '../sys/bytes.ts';
import { type FileOffset } from '../sys/file-offset.ts';
import { EIO } from '../sys/errno.ts';
import { type DirectoryIndex } from './directory-index.ts';
import { type Handle } from './handle.ts';
import { type Inode } from './inode.ts';
import { type Layer } from './layer.ts';
import { type RealDirectory } from './real-directory.ts';
import { type ResidentFile } from './resident-file.ts';

// What most inodes do not have is kept apart: there may be a million of them in memory.

export const NO_LOWERS: readonly RealDirectory[] = [];

/** Another name of a file with hard links. */
export interface Alias {
  readonly parent: Inode;
  readonly name: ByteString;
}

/** A node number that the kernel had for an inode before it was renumbered, and may still know. */
interface FormerNode {
  readonly id: number;
  nlookup: number;
}

/** A copy of a file's data that is under way, or done and not yet put in its place. */
interface PendingCopy {
  /** Its name in the workdir. */
  readonly temporary: ByteString;
  readonly from: number;
  readonly to: number;
  readonly length: FileOffset;
  readonly job: number;
}

/** Of directories, and of files that are open. */
export class LivePart {
  upper: RealDirectory | undefined = undefined;
  lowers: readonly RealDirectory[] = NO_LOWERS;
  /** Inodes of this directory that are in memory, by name. */
  children: Map<ByteString, Inode> | undefined = undefined;
  /** The index by which open handles list it: there is one for all of them, kept up to date. */
  listed: DirectoryIndex | undefined = undefined;
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

  /** Nothing is in it. */
  get isEmpty(): boolean {
    return (
      this.upper === undefined &&
      this.lowers === NO_LOWERS &&
      this.children === undefined &&
      this.listed === undefined &&
      this.handles === undefined &&
      this.reader === undefined &&
      this.writer === undefined &&
      this.backing === 0 &&
      this.passing === 0 &&
      this.caching === 0
    );
  }
}

/** Of files with several names, with data elsewhere, or with neither name. */
export class RarePart {
  formers: FormerNode[] | undefined = undefined;
  /** Further names, of a file with hard links. */
  aliases: Alias[] | undefined = undefined;
  /** Of a metacopy: where its data is. */
  data: RealDirectory | undefined = undefined;
  dataName: ByteString = '';
  /** st_blocks of the data, where a file in `data` is known; else -1. */
  dataBlocks = -1;
  /** Path of its data in the data-only layers, in which it is looked for when it is first needed. */
  dataPath: ByteString = '';
  /** Why its data cannot be had where neither is there: a negative errno. */
  dataFault = -EIO;
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
  lowerNlink = 1;
  lostLinks = 0;
  /** Its name in the index of hard links, where it is reached then; see link-index.ts. */
  indexName: ByteString = '';
  /** Links that users see beyond those that the upper's file has: names still in the lower layers. */
  lowerLinks = 0;
  /** O_PATH descriptor of a file whose last name is gone, or -1. */
  pinned = -1;
}
