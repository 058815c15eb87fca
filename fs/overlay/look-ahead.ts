import { type ByteString } from '../sys/bytes.ts';
import { DT_DIR } from '../sys/constants.ts';
import { blocksReadByProcess } from '../sys/thread.ts';
import { type DirectoryIndex } from './directory-index.ts';
import { DiskWatch } from './disk-watch.ts';
import { type Inode } from './inode.ts';
import { COUNTER } from './options.ts';
import { type RealDirectory } from './real-directory.ts';
import { type Union } from './union.ts';

// Who lists a tree waits for each of its directories, and in each layer, one after another: there is no way to have the
// kernel begin to read a directory. Threads that have nothing else to do can wait for several at once.

/** Subdirectories of a directory that are about to be listed, in the order in which they are. */
export interface DirectoriesAhead {
  /** The directory in each of its layers: the descriptor of the layer's root, and the path from there. */
  readonly layers: readonly { readonly root: number; readonly path: ByteString }[];
  /** Names, each once for every layer that has it, and which one that is. */
  readonly names: readonly ByteString[];
  readonly places: readonly number[];
}

/** Has directories read by other threads. */
export type ReadDirectories = (ahead: DirectoriesAhead) => void;

/** Subdirectories of one directory, counted in each layer, that are worth the message. */
const MOST = 512;

/** Has directories of lower layers read before they are listed, where that saves waits for the disk. */
export class LookAhead {
  readonly #read: ReadDirectories;
  // Of the whole process: the less this thread has to read, the better it works.
  readonly #watch = new DiskWatch(blocksReadByProcess);

  constructor(read: ReadDirectories) {
    this.#read = read;
  }

  /** Somebody lists a directory, or the one that it is in. */
  listed(union: Union, directory: Inode): void {
    const index = union.indexes.peek(directory);
    if (index === undefined || index.lookedAhead) return;
    index.lookedAhead = true;
    if (!this.#watch.step()) return;
    const ahead = subdirectories(directory, index, union.readAhead.isUnderWay);
    if (ahead.names.length === 0) return;
    union.count(COUNTER.directoriesReadAhead, ahead.names.length);
    this.#read(ahead);
  }
}

/** @param indexed also in layers with an index, which are not read to list them, but to open files. */
function subdirectories({ lowers }: Inode, index: DirectoryIndex, indexed: boolean): DirectoriesAhead {
  const names: ByteString[] = [];
  const places: number[] = [];
  for (const [name, entry] of index) {
    if (names.length >= MOST) break;
    if (!entry.visible || entry.lowerType !== DT_DIR || !entry.lowerVisible) continue;
    for (const position of [entry.lower, ...(entry.more ?? [])]) {
      if (!indexed && lowers[position - 1]?.layer.contents !== undefined) continue;
      names.push(name);
      places.push(position - 1);
    }
  }
  const layers = lowers.map((lower) => ({ root: lower.layer.root.fd, path: pathOf(lower) }));
  return { layers, names, places };
}

function pathOf({ parent, name }: RealDirectory): ByteString {
  return parent === undefined ? '.' : `${pathOf(parent)}/${name}`;
}
