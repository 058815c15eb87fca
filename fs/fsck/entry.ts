import { type IndexEntry } from '../overlay/directory-index.ts';
import { type Inode } from '../overlay/inode.ts';
import { type RealDirectory } from '../overlay/real-directory.ts';
import { type ByteString } from '../sys/bytes.ts';

/** A name in a directory of the checked layer. */
export interface CheckedEntry {
  readonly parent: Inode;
  readonly directory: RealDirectory;
  readonly name: ByteString;
  /** What the layers below have under that name. */
  readonly lower: IndexEntry;
  /** What they have under all names. */
  readonly below: ReadonlyMap<ByteString, IndexEntry>;
}
