import { O_ACCMODE, O_DIRECT, O_RDONLY } from '../sys/constants.ts';
import { close } from '../sys/file.ts';
import { type Inode } from './inode.ts';
import { type OpenFile } from './open-file.ts';

/** A file that is open for whoever asks, as `Inode.reader` or `Inode.writer`. */
export class ResidentFile implements OpenFile {
  readonly inode: Inode;
  readonly fd: number;
  readonly flags: number;
  syncJob = -1;
  /** Asked for since the hand last went by. */
  used = true;
  /** It was opened for a reader who is expected and has not come. */
  isAhead = false;
  /** Its place in the ring, or -1. */
  place = -1;

  constructor(inode: Inode, fd: number, flags: number) {
    this.inode = inode;
    this.fd = fd;
    this.flags = flags;
  }

  get isWriter(): boolean {
    return (this.flags & O_ACCMODE) !== O_RDONLY;
  }

  /** Whether it can serve a request that wants O_DIRECT, or does not. What is being synced stays as it is. */
  suits(direct: boolean): boolean {
    return ((this.flags & O_DIRECT) !== 0) === direct || this.syncJob >= 0;
  }
}

/**
 * The resident files: a bounded ring in which a hand goes round and closes those that nobody has asked for since it last
 * came by (CLOCK), since what counts is one step a request.
 */
export class ResidentFiles {
  /** How many are open at most. */
  readonly max: number;
  readonly #ring: (ResidentFile | undefined)[];
  #hand = 0;
  /** How many are open for writing. */
  writers = 0;

  constructor(max: number) {
    this.max = max;
    this.#ring = Array.from({ length: max }, () => undefined);
  }

  /** @param keep another file that is in use. */
  add(file: ResidentFile, keep?: OpenFile): void {
    const place = this.#makeRoom(keep);
    this.#ring[place] = file;
    file.place = place;
    if (file.isWriter) this.writers++;
  }

  /** Closes what an inode has open: it goes, or its data is elsewhere. */
  drop(inode: Inode): void {
    if (inode.reader !== undefined) this.close(inode.reader);
    if (inode.writer !== undefined) this.close(inode.writer);
  }

  /** @param keep another file that is in use. */
  clear(keep?: OpenFile): void {
    for (const file of this.#ring) if (file !== undefined && file !== keep && file.syncJob < 0) this.close(file);
  }

  /** A free place. A file that the slow lane syncs stays, and there are more places than the lane has jobs. */
  #makeRoom(keep: OpenFile | undefined): number {
    for (;;) {
      const place = this.#hand;
      this.#hand = (place + 1) % this.#ring.length;
      const file = this.#ring[place];
      if (file === undefined) return place;
      if (file === keep || file.syncJob >= 0) continue;
      if (file.used) {
        file.used = false;
        continue;
      }
      this.close(file);
      return place;
    }
  }

  close(file: ResidentFile): void {
    const { inode } = file;
    if (inode.reader === file) inode.reader = undefined;
    if (inode.writer === file) inode.writer = undefined;
    this.#ring[file.place] = undefined;
    if (file.isWriter) this.writers--;
    close(file.fd);
  }
}
