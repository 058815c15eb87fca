import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { EAGAIN, ETIMEDOUT } from '../sys/errno.ts';
import { log } from '../sys/log.ts';
import { needsPlainMark } from './dot-names.ts';
import { isNameable } from './file-handle.ts';
import { LACKS, type Inode } from './inode.ts';
import { type Settle } from './settle.ts';
import { NO_OVERRIDE } from './stat-override.ts';
import { numberOfTemporary } from './temporary-name.ts';
import { type Union } from './union.ts';
import { type Workdir } from './workdir.ts';

// Where many files are copied up one after the other, a thread makes the copies of the next ones, whole but for what is
// asked for, while this one answers requests. Each has a slot: its state, a few numbers and its name.

export const SLOTS = 64;

/**
 * Of a slot. What has not been begun can be taken back; what is begun is waited for. What is made is brought to the disk, if
 * it is not come for before.
 */
export const STATE = { free: 0, queued: 1, running: 2, made: 3, settled: 4, failed: 5, abandoned: 6 } as const;
/** Elements behind the slots' states: submissions, for the thread to wait on, whether it is up, and whether it is to end. */
const WORDS = SLOTS + 3;
export const SUBMISSIONS = WORDS - 3;
export const UP = WORDS - 2;
export const ENDED = WORDS - 1;

/** Numbers of one slot. */
export const FIELD = {
  /** Descriptor of the directory that the file is in. */
  dirfd: 0,
  nameLength: 1,
  /** Of the copy's name; see temporary-name.ts. */
  temporary: 2,
  /** Address at which the file's attributes are to be. */
  attributes: 3,
  /** Which of the lower layers it is in. */
  layer: 4,
  /** 1: it has no xattrs. */
  isBare: 5,
  /** The copy's descriptor, or a negative errno. */
  result: 6,
} as const;
export const FIELDS = 7;
export const NAME_BYTES = 256;

/** Milliseconds that a copy which was begun, or the thread, may take. */
const LONGEST = 5000;
/** What the thread makes is not there for long. */
const YOUNG_MEBIBYTES = 6;

/** What the thread is started with. */
export interface CopyWorkerInput {
  readonly states: Int32Array;
  readonly fields: Float64Array;
  readonly names: Uint8Array;
  /** Descriptor of the workdir. */
  readonly workdir: number;
  readonly settle: Settle;
  readonly ownUid: number;
  readonly ownGid: number;
  readonly originXattr: string;
  /** UUIDs by which origins in the lower layers are named. */
  readonly uuids: readonly string[];
}

export class CopyAheadLane {
  readonly #states = new Int32Array(new SharedArrayBuffer(4 * WORDS));
  readonly #fields = new Float64Array(new SharedArrayBuffer(8 * FIELDS * SLOTS));
  readonly #names = Buffer.from(new SharedArrayBuffer(NAME_BYTES * SLOTS));
  /** Descriptors that are held for the slots. */
  readonly #held: number[] = [];
  /** What the thread may still write to. */
  readonly #abandoned: Attr[] = [];
  /** The copy that was taken last is on disk. */
  isSettled = false;
  #next = 0;
  #isFailing = false;

  constructor(union: Union, workdir: Workdir) {
    const workerData: CopyWorkerInput = {
      states: this.#states,
      fields: this.#fields,
      names: this.#names,
      workdir: workdir.fd,
      settle: union.settle,
      ownUid: union.ownUid,
      ownGid: union.ownGid,
      originXattr: union.originXattr,
      uuids: union.lowers.map((layer) => layer.uuid),
    };
    const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MEBIBYTES };
    // The compiled file: a worker cannot run TypeScript on every Node that we support.
    const url = new URL('./copy-ahead-worker.js', import.meta.url);
    const worker = new Worker(url, { workerData, resourceLimits });
    worker.unref();
    worker.on('error', (error) => {
      this.#isFailing = true;
      log(`the thread that copies ahead failed: ${error.message}`);
    });
  }

  /** Where there is a processor for it. */
  static get isWorthwhile(): boolean {
    return availableParallelism() > 1;
  }

  get isUp(): boolean {
    return Atomics.load(this.#states, UP) !== 0 && !this.#isFailing;
  }

  /**
   * Has the copy of a file of a lower layer made; answers its slot, or -1 where it cannot be made here.
   *
   * @param attr is filled with the file's attributes, and must be kept until the slot is taken.
   */
  submit(union: Union, inode: Inode, temporary: ByteString, attr: Attr): number {
    const { real, realName } = inode;
    if (real === undefined || inode.pinned >= 0 || !isWholeHere(union, inode)) return -1;
    const slot = this.#free();
    const dirfd = slot < 0 ? -1 : union.fds.hold(real);
    if (dirfd < 0) return -1;
    const base = slot * FIELDS;
    const fields = this.#fields;
    this.#held[slot] = dirfd;
    fields[base + FIELD.dirfd] = dirfd;
    fields[base + FIELD.nameLength] = this.#names.write(realName, slot * NAME_BYTES, NAME_BYTES, 'latin1');
    fields[base + FIELD.temporary] = numberOfTemporary(temporary);
    fields[base + FIELD.attributes] = attr.memory.address;
    fields[base + FIELD.layer] = real.layer.index;
    fields[base + FIELD.isBare] = (inode.lacks & LACKS.all) === 0 ? 0 : 1;
    Atomics.store(this.#states, slot, STATE.queued);
    return slot;
  }

  /** Has the thread look for what was submitted. */
  begin(): void {
    Atomics.add(this.#states, SUBMISSIONS, 1);
    Atomics.notify(this.#states, SUBMISSIONS);
  }

  /**
   * Ends a slot's use: answers the copy's descriptor, or a negative errno where there is no copy, EAGAIN where it was not
   * begun, ETIMEDOUT where it does not end.
   */
  take(union: Union, slot: number, attr: Attr): number {
    const state = this.#claim(union, slot);
    if (state === STATE.abandoned) {
      this.#abandoned.push(attr);
      return -ETIMEDOUT;
    }
    this.isSettled = state === STATE.settled;
    union.fds.release(this.#held[slot] ?? -1);
    return state === STATE.queued ? -EAGAIN : (this.#fields[slot * FIELDS + FIELD.result] ?? -EAGAIN);
  }

  /** Frees a slot, or abandons it; answers the state in which it was, in which the thread had no part in it any more. */
  #claim(union: Union, slot: number): number {
    const states = this.#states;
    for (;;) {
      const state = Atomics.load(states, slot);
      if (state !== STATE.running) {
        if (Atomics.compareExchange(states, slot, state, STATE.free) === state) return state;
      } else if (this.#isLate(union, slot)) {
        if (Atomics.compareExchange(states, slot, STATE.running, STATE.abandoned) === STATE.running)
          return STATE.abandoned;
      }
    }
  }

  /** Waits for what the thread does with a slot; whether that takes too long. */
  #isLate(union: Union, slot: number): boolean {
    const begin = performance.now();
    const outcome = Atomics.wait(this.#states, slot, STATE.running, LONGEST);
    union.slowness.waited(performance.now() - begin);
    return outcome === 'timed-out';
  }

  /** Lets the thread end; nothing of it is under way any more. */
  end(): void {
    // A thread that is ended with its process while it binds functions of the C library crashes it (koffi).
    if (!this.#isFailing) Atomics.wait(this.#states, UP, 0, LONGEST);
    Atomics.store(this.#states, ENDED, 1);
    this.begin();
  }

  #free(): number {
    for (let tried = 0; tried < SLOTS; tried++) {
      const slot = this.#next;
      this.#next = (slot + 1) % SLOTS;
      if (this.#states[slot] === STATE.free) return slot;
    }
    return -1;
  }
}

/** Whether all that the copy is to have can be given it by one who knows the layers' descriptors alone. */
function isWholeHere(union: Union, inode: Inode): boolean {
  const layer = inode.real?.layer;
  if (layer === undefined || union.upper?.override !== NO_OVERRIDE || layer.override !== NO_OVERRIDE) return false;
  return isNameable(union, layer) && !needsPlainMark(union, inode.name, inode.type);
}
