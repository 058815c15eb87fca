import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { O_NONBLOCK, O_RDONLY } from '../sys/constants.ts';
import { ETIMEDOUT } from '../sys/errno.ts';
import { close, unlinkat } from '../sys/file.ts';
import { CopyAheadLane, SLOTS } from './copy-ahead-lane.ts';
import { copyAside } from './copy-aside.ts';
import { type Inode } from './inode.ts';
import { resolve } from './lookup.ts';
import { loadIndex } from './merge.ts';
import { openData } from './metacopy.ts';
import { COUNTER } from './options.ts';
import { SETTLE } from './settle.ts';
import { SLOW_SIZE } from './slow-lane.ts';
import { statLayer } from './stat-override.ts';
import { Succession } from './succession.ts';
import { type Union } from './union.ts';
import { type Workdir } from './workdir.ts';

// A copy-up waits for the disk to have the data before the copy gets its name. Where files are copied up one after the
// other (chown -R, a shell's loop), the data of the next one is copied before anybody asks for it, and the disk writes it
// while the present one is finished: 130 us a file. What is in the workdir nobody sees: a copy that nobody comes for is
// removed again, and nothing was promised.

/**
 * Copies that wait to be asked for: a directory's next files, and those of the directories above, which come later; where
 * this thread makes them, and where another does.
 */
const MOST = 8;
const MOST_BY_LANE = SLOTS;
/** Of one directory. */
const NEXT = 1;
const NEXT_BY_LANE = 16;
/** Of the directory after that. */
const FIRST_BY_LANE = 8;
/** Copies made ahead and come for from which on another thread is worth its start. */
const MANY = 48;

/** A file's data in the workdir, all of it, on its way to the disk. */
export interface Prepared {
  readonly temporary: ByteString;
  fd: number;
  /** Of the lower file. */
  readonly attr: Attr;
  /** Its data is known to be on disk. */
  isSettled: boolean;
  /** By which another thread makes it, with all that its file has beside its data; or -1. */
  readonly slot: number;
}

export class CopyAhead {
  readonly #prepared = new Map<Inode, Prepared>();
  readonly #succession = new Succession();
  /** For the next files' attributes. */
  readonly #spare: Attr[] = [];
  #lane: CopyAheadLane | undefined = undefined;
  /** Whether files are being gone through. */
  #follows = false;
  /** Copies that were made ahead and come for. */
  #foreseen = 0;
  /** Where files are gone through, how many of its copies wait, and the last of them. */
  #directory: Inode | undefined = undefined;
  #waiting = 0;
  #last: Inode | undefined = undefined;

  /** Whether there is something that a rest ends. */
  get isUnderWay(): boolean {
    return this.#prepared.size > 0 || this.#lane !== undefined;
  }

  /** The copy that was made of a file, which is the caller's from now on. */
  claim(union: Union, inode: Inode): Prepared | undefined {
    const prepared = this.#prepared.get(inode);
    if (prepared === undefined) return undefined;
    this.#remove(inode);
    if (!this.#arrives(union, prepared)) return undefined;
    if (prepared.slot >= 0) union.count(COUNTER.filesCopiedAhead);
    return prepared;
  }

  /**
   * To be called when the data of a file was copied for a request.
   *
   * @param foreseen it had been copied ahead.
   */
  follow(union: Union, workdir: Workdir, inode: Inode, foreseen: boolean): void {
    // Who goes into another directory may go through that one in the same way.
    if (!foreseen) {
      this.#follows = this.#succession.isNext(union, inode) ?? this.#follows;
      // Those that wait may be others than come next.
      this.#waiting = 0;
      this.#last = undefined;
    } else if (++this.#foreseen === MANY && CopyAheadLane.isWorthwhile)
      this.#lane ??= new CopyAheadLane(union, workdir);
    this.#succession.note(inode);
    if (this.#follows && inode.parent !== undefined) this.#goAhead(union, workdir, inode.parent, inode);
  }

  /** A directory was listed: who goes through a tree comes to its first files next. */
  listed(union: Union, directory: Inode): void {
    const { workdir } = union;
    if (!this.#follows || workdir === undefined) return;
    this.#goAhead(union, workdir, directory, undefined);
    const next = this.#succession.directoryAfter(union, directory);
    if (next !== undefined) this.#goInto(union, workdir, next);
  }

  /** Takes back what a copy's `attr` is no longer needed for. */
  recycle(attr: Attr): void {
    this.#spare.push(attr);
  }

  /** Nobody goes through files any more. */
  drop(union: Union, workdir: Workdir): void {
    for (const [inode, prepared] of this.#prepared) this.#discard(union, workdir, inode, prepared);
    this.#prepared.clear();
    this.#directory = undefined;
    this.#last = undefined;
    this.#follows = false;
    this.#foreseen = 0;
    this.#succession.forget();
    this.#lane?.end();
    this.#lane = undefined;
  }

  /** @param from the file that was copied up last in the directory. */
  #goAhead(union: Union, workdir: Workdir, directory: Inode, from: Inode | undefined): void {
    // A session that never rests would leave what nobody comes for.
    if (union.slowLane === undefined) return;
    if (directory !== this.#directory) this.#enter(directory);
    const most = this.#lane?.isUp === true ? NEXT_BY_LANE : NEXT;
    if (this.#waiting > most / 2) return;
    const before = this.#waiting;
    let last = this.#last ?? from;
    for (let tried = this.#waiting; tried < most; tried++) {
      const next = last === undefined ? this.#succession.first(union, directory) : this.#succession.next(union, last);
      if (next === undefined) break;
      last = next;
      if (this.#prepared.has(next)) this.#count(next);
      else this.#prepare(union, workdir, next);
    }
    if (this.#waiting > before) this.#lane?.begin();
  }

  /** Before a directory is listed, which is too late: its first file would have to wait for the disk. */
  #goInto(union: Union, workdir: Workdir, directory: Inode): void {
    const index = union.slowLane === undefined ? 0 : loadIndex(union, directory);
    if (typeof index === 'number') return;
    const names = this.#succession.firstNames(index, this.#lane?.isUp === true ? FIRST_BY_LANE : NEXT);
    for (const name of names) {
      const inode = resolve(union, directory, name, undefined);
      if (typeof inode === 'number') continue;
      if (!inode.isUpper && !this.#prepared.has(inode)) this.#prepare(union, workdir, inode);
      // The kernel does not know it yet.
      if (!this.#prepared.has(inode)) union.inodes.release(inode);
    }
    if (names.length > 0) this.#lane?.begin();
  }

  #enter(directory: Inode): void {
    this.#directory = directory;
    this.#waiting = 0;
    this.#last = undefined;
    for (const inode of this.#prepared.keys()) if (inode.parent === directory) this.#count(inode);
  }

  #count(inode: Inode): void {
    this.#waiting++;
    this.#last = inode;
  }

  #remove(inode: Inode): void {
    this.#prepared.delete(inode);
    if (inode.parent !== this.#directory) return;
    this.#waiting--;
    if (this.#waiting <= 0) this.#last = undefined;
  }

  #prepare(union: Union, workdir: Workdir, next: Inode): void {
    if (!isWorthwhile(union, next)) return;
    if (this.#prepared.size >= (this.#lane === undefined ? MOST : MOST_BY_LANE)) this.#dropOldest(union, workdir);
    const attr = this.#spare.pop() ?? new Attr();
    const prepared = this.#submit(union, workdir, next, attr) ?? this.#make(union, workdir, next, attr);
    if (prepared === undefined) {
      this.recycle(attr);
      return;
    }
    this.#prepared.set(next, prepared);
    if (next.parent === this.#directory) this.#count(next);
  }

  #submit(union: Union, workdir: Workdir, next: Inode, attr: Attr): Prepared | undefined {
    if (this.#lane?.isUp !== true) return undefined;
    const temporary = workdir.temporaryName();
    const slot = this.#lane.submit(union, next, temporary, attr);
    return slot < 0 ? undefined : { temporary, fd: -1, attr, isSettled: false, slot };
  }

  /** By this thread: where there is another, it has one in hand at a time. */
  #make(union: Union, workdir: Workdir, next: Inode, attr: Attr): Prepared | undefined {
    const isOneOfMany = this.#lane?.isUp === true && this.#waiting > 0;
    return isOneOfMany ? undefined : prepare(union, workdir, next, attr);
  }

  /** Has a copy's descriptor there; false where there is no copy. */
  #arrives(union: Union, prepared: Prepared): boolean {
    const { slot, attr } = prepared;
    if (slot < 0 || this.#lane === undefined) return true;
    prepared.fd = this.#lane.take(union, slot, attr);
    prepared.isSettled = this.#lane.isSettled;
    // Of one that takes too long, the attributes may still come.
    if (prepared.fd < 0 && prepared.fd !== -ETIMEDOUT) this.recycle(attr);
    return prepared.fd >= 0;
  }

  #discard(union: Union, workdir: Workdir, inode: Inode, prepared: Prepared): void {
    // One that the kernel has not come to know.
    union.inodes.release(inode);
    if (!this.#arrives(union, prepared)) return;
    this.recycle(prepared.attr);
    discardPrepared(workdir, prepared);
  }

  /** It was not come for in all this time: the files are not gone through as it seemed. */
  #dropOldest(union: Union, workdir: Workdir): void {
    for (const [inode, prepared] of this.#prepared) {
      this.#remove(inode);
      this.#discard(union, workdir, inode, prepared);
      this.#follows = false;
      return;
    }
  }
}

export function discardPrepared(workdir: Workdir, { temporary, fd }: Prepared): void {
  close(fd);
  unlinkat(workdir.fd, temporary);
}

/** Whether a copy ahead can be made, and saves something. */
function isWorthwhile(union: Union, inode: Inode): boolean {
  return (
    union.settle !== SETTLE.none && union.isSoleWriter && !inode.metacopy && union.layerOf(inode)?.refusesClone === true
  );
}

/** Undefined where there is nothing to be copied, or it cannot be. */
function prepare(union: Union, workdir: Workdir, inode: Inode, attr: Attr): Prepared | undefined {
  const stated = statLayer(union.layerOf(inode), union.dirfdOf(inode), union.nameOf(inode), attr);
  if (stated < 0 || attr.size === 0 || attr.size >= SLOW_SIZE) return undefined;
  const from = openData(union, inode, O_RDONLY | O_NONBLOCK);
  if (from < 0) return undefined;
  const temporary = workdir.temporaryName();
  const fd = copyAside(union, workdir.fd, temporary, from, attr, union.settle);
  close(from);
  return fd < 0 ? undefined : { temporary, fd, attr, isSettled: false, slot: -1 };
}
