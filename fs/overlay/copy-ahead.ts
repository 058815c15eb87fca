import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { O_NONBLOCK, O_RDONLY } from '../sys/constants.ts';
import { close, unlinkat } from '../sys/file.ts';
import { copyContents } from './copy-data.ts';
import { type Inode } from './inode.ts';
import { openCopy } from './make-real.ts';
import { openData } from './metacopy.ts';
import { copyFlags } from './protection.ts';
import { SETTLE, beginSettling } from './settle.ts';
import { SLOW_SIZE } from './slow-lane.ts';
import { statLayer } from './stat-override.ts';
import { Succession } from './succession.ts';
import { type Union } from './union.ts';
import { type Workdir } from './workdir.ts';

// A copy-up waits for the disk to have the data before the copy gets its name. Where files are copied up one after the
// other (chown -R, a shell's loop), the data of the next one is copied before anybody asks for it, and the disk writes it
// while the present one is finished: 130 us a file. What is in the workdir nobody sees: a copy that nobody comes for is
// removed again, and nothing was promised.

/** Copies that wait to be asked for: a directory's next file, and those of the directories above, which come later. */
const MOST = 8;

/** A file's data in the workdir, all of it, on its way to the disk. */
export interface Prepared {
  readonly temporary: ByteString;
  readonly fd: number;
  /** Of the lower file. */
  readonly attr: Attr;
}

export class CopyAhead {
  readonly #prepared = new Map<Inode, Prepared>();
  readonly #succession = new Succession();
  /** For the next files' attributes. */
  readonly #spare: Attr[] = [];
  /** Whether files are being gone through. */
  #follows = false;

  /** Copies that nobody has come for. */
  get size(): number {
    return this.#prepared.size;
  }

  /** The copy that was made of a file, which is the caller's from now on. */
  claim(inode: Inode): Prepared | undefined {
    const prepared = this.#prepared.get(inode);
    if (prepared !== undefined) this.#prepared.delete(inode);
    return prepared;
  }

  /**
   * To be called when the data of a file was copied for a request.
   *
   * @param foreseen it had been copied ahead.
   */
  follow(union: Union, workdir: Workdir, inode: Inode, foreseen: boolean): void {
    // Who goes into another directory may go through that one in the same way.
    if (!foreseen) this.#follows = this.#succession.isNext(union, inode) ?? this.#follows;
    this.#succession.note(inode);
    if (this.#follows) this.#prepare(union, workdir, this.#succession.next(union, inode));
  }

  /** A directory was listed: who goes through a tree comes to its first file next. */
  listed(union: Union, directory: Inode): void {
    if (!this.#follows || union.workdir === undefined) return;
    this.#prepare(union, union.workdir, this.#succession.first(union, directory));
  }

  /** Takes back what a copy's `attr` is no longer needed for. */
  recycle(attr: Attr): void {
    this.#spare.push(attr);
  }

  #prepare(union: Union, workdir: Workdir, next: Inode | undefined): void {
    // A session that never rests would leave what nobody comes for.
    if (next === undefined || union.slowLane === undefined || this.#prepared.has(next)) return;
    if (this.#prepared.size >= MOST) this.#dropOldest(workdir);
    const attr = this.#spare.pop() ?? new Attr();
    const prepared = prepare(union, workdir, next, attr);
    if (prepared === undefined) this.recycle(attr);
    else this.#prepared.set(next, prepared);
  }

  /** Nobody goes through files any more. */
  drop(workdir: Workdir): void {
    for (const prepared of this.#prepared.values()) discardPrepared(workdir, prepared);
    this.#prepared.clear();
    this.#follows = false;
    this.#succession.forget();
  }

  /** It was not come for in all this time: the files are not gone through as it seemed. */
  #dropOldest(workdir: Workdir): void {
    for (const [inode, prepared] of this.#prepared) {
      this.#prepared.delete(inode);
      discardPrepared(workdir, prepared);
      this.#follows = false;
      return;
    }
  }
}

export function discardPrepared(workdir: Workdir, { temporary, fd }: Prepared): void {
  close(fd);
  unlinkat(workdir.fd, temporary);
}

/** Undefined where it would save nothing, or cannot be done. */
function prepare(union: Union, workdir: Workdir, inode: Inode, attr: Attr): Prepared | undefined {
  const layer = union.layerOf(inode);
  if (union.settle === SETTLE.none || !union.isSoleWriter) return undefined;
  if (layer?.refusesClone !== true || inode.metacopy) return undefined;
  if (statLayer(layer, union.dirfdOf(inode), union.nameOf(inode), attr) < 0) return undefined;
  if (attr.size === 0 || attr.size >= SLOW_SIZE) return undefined;
  const from = openData(union, inode, O_RDONLY | O_NONBLOCK);
  if (from < 0) return undefined;
  const prepared = copyAside(union, workdir, from, attr);
  close(from);
  return prepared;
}

function copyAside(union: Union, workdir: Workdir, from: number, attr: Attr): Prepared | undefined {
  const temporary = workdir.temporaryName();
  const to = openCopy(union, workdir.fd, temporary, attr.mode);
  if (to < 0) return undefined;
  copyFlags(from, to);
  const prepared = { temporary, fd: to, attr };
  if (copyContents(from, to, attr.size, attr.blocks, union.settle) < 0) {
    discardPrepared(workdir, prepared);
    return undefined;
  }
  beginSettling(to, union.settle);
  return prepared;
}
