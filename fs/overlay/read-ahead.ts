import { DT_REG, O_NONBLOCK, O_RDONLY, S_IFREG } from '../sys/constants.ts';
import { readahead } from '../sys/file.ts';
import { blocksRead } from '../sys/thread.ts';
import { type DirectoryIndex } from './directory-index.ts';
import { DiskWatch } from './disk-watch.ts';
import { type Inode } from './inode.ts';
import { openData } from './metacopy.ts';
import { COUNTER } from './options.ts';
import { ResidentFile } from './resident-file.ts';
import { type Union } from './union.ts';

// Who copies, packs or searches a tree opens its files one after another in the order in which they were listed, and each of
// them, where it is not in memory, keeps him, us and all others waiting for the disk. So the disk is told of the next ones
// before they are asked for, and they are open by then.

/** So many files opened in order show that somebody goes through a directory. */
const IN_ORDER = 3;
/** Files that he may leave out between two: empty ones, or what has further names. */
const LEFT_OUT = 4;
/** Names ahead of the file that is opened, at most. */
const NAMES = 16;
/** Bytes of each, at most: the kernel reads ahead by itself in those that are longer. */
const LENGTH = 256 << 10;
/** Directories listed without a file being opened after which nobody is expected to open one. */
const LISTED = 8;
/** Files that may be open at the same time, at least: those ahead must not take the place of what is in use. */
const LEAST = 128;

/** Begins to read files of lower layers before they are asked for, where that saves a wait for the disk. */
export class ReadAhead {
  #inOrder = 0;
  /** Directories listed since a file was opened. */
  #listed = 0;
  // Of this thread, which makes all reads of the union, those ahead included.
  readonly #watch = new DiskWatch(blocksRead);

  /** A file of a lower layer was opened for somebody who reads it. */
  opened(union: Union, { parent, name }: Inode): void {
    if (union.residents.max < LEAST) return;
    const index = parent === undefined ? undefined : union.indexes.peek(parent);
    const place = index?.get(name)?.place ?? -1;
    if (parent === undefined || index === undefined || place < 0) return;
    const next = isNext(index, place);
    this.#listed = 0;
    this.#inOrder = next ? this.#inOrder + 1 : 0;
    if (!next) index.aheadTo = place;
    index.readTo = place;
    if (this.#inOrder >= IN_ORDER && this.#watch.step()) goAhead(union, parent, index, place);
  }

  /** Somebody reads the files of a tree, and would wait for the disk. */
  get isUnderWay(): boolean {
    return this.#inOrder >= IN_ORDER && this.#watch.isCold;
  }

  /** A directory was listed: who goes through a tree comes to its first file next. */
  listed(union: Union, directory: Inode, index: DirectoryIndex): void {
    if (this.isUnderWay && this.#listed++ < LISTED) goAhead(union, directory, index, index.readTo);
  }
}

/** Whether a file is among the first that come after the one opened before in its directory. */
function isNext(index: DirectoryIndex, place: number): boolean {
  let leftOut = 0;
  let at = place - 1;
  for (; at > index.readTo && leftOut <= LEFT_OUT; at--) {
    const name = index.order[at];
    if (name !== undefined && index.get(name)?.type === DT_REG) leftOut++;
  }
  return at === index.readTo && leftOut <= LEFT_OUT;
}

function goAhead(union: Union, directory: Inode, index: DirectoryIndex, place: number): void {
  const { order } = index;
  const end = Math.min(order.length - 1, place + NAMES);
  for (let at = Math.max(place, index.aheadTo) + 1; at <= end; at++) {
    const name = order[at];
    const inode = name === undefined ? undefined : directory.children?.get(name);
    if (inode !== undefined) begin(union, inode);
    index.aheadTo = at;
  }
}

/** What is in the upper may be about to change, and a metacopy's data is elsewhere. */
function begin(union: Union, inode: Inode): void {
  if (inode.type !== S_IFREG || inode.isUpper || inode.metacopy || inode.reader !== undefined) return;
  const fd = openData(union, inode, O_RDONLY | O_NONBLOCK);
  if (fd < 0) return;
  readahead(fd, 0, LENGTH);
  const file = new ResidentFile(inode, fd, O_RDONLY);
  file.isAhead = true;
  inode.reader = file;
  union.residents.add(file);
  union.count(COUNTER.filesReadAhead);
}
