import { Worker } from 'node:worker_threads';
import { check } from '../sys/errno.ts';
import { BackgroundSync } from '../sys/background-sync.ts';
import { eventfd } from '../sys/event.ts';
import { close } from '../sys/file.ts';
import { log } from '../sys/log.ts';
import { type Settle, SETTLE } from './settle.ts';

// What takes long is done by a few threads that share the process's descriptors, so that requests about other files
// are not held up by it: copying data up, reading from slow disks, clearing away what is large, and, where the kernel has no
// threads for that, reaching the disk. State of the union stays with its own thread: a job is a few numbers, and its result
// another.

/** Data from this size on, bytes, is copied by the slow lane; less takes no longer than handing it over. */
export const SLOW_SIZE = 1 << 20;

/** From this size on a copy takes the processor for long, and is made by who lets everybody else have it first. */
const LARGE_SIZE = 32 << 20;

export const MAX_JOBS = 64;
/** Of each lane. */
const MAX_WORKERS = 2;

/**
 * Job states; the elements behind those of the jobs count submissions of either lane, for its workers to wait on, and
 * workers that have loaded all that they need.
 */
export const JOB = { free: 0, running: 1, done: 2 } as const;
const STATES = MAX_JOBS + 3;
export const READY = STATES - 1;

/** What tells the workers of one lane from those of the other. */
interface Lane {
  /** State of a job that waits for one of them. */
  readonly queued: number;
  /** Element that counts such jobs. */
  readonly submissions: number;
  /** By how much they are nicer than this process, from the start and for good: only the privileged can take it back. */
  readonly niceness: number;
}

const PROMPT: Lane = { queued: 3, submissions: MAX_JOBS, niceness: 0 };
/** A tenth of the processor is theirs at least. */
const PATIENT: Lane = { queued: 4, submissions: MAX_JOBS + 1, niceness: 10 };
/** Milliseconds that a worker may take for that; one that has none of it by then could not be started. */
const LONGEST_START = 5000;

/** Numbers of one job. */
export const FIELD = { kind: 0, fd: 1, to: 2, length: 3, blocks: 4, settle: 5, result: 6, offset: 7 } as const;
export const FIELDS = 8;

export const KIND = { copy: 0, fsync: 1, fdatasync: 2, read: 3, discard: 4, close: 5 } as const;

/** What a slow worker is started with. */
export interface SlowWorkerInput {
  readonly states: Int32Array;
  readonly jobs: Float64Array;
  /** An eventfd that is written after each job. */
  readonly completions: number;
  readonly lane: Lane;
}

/** A worker, and where it is. */
interface Staff {
  readonly worker: Worker;
  readonly lane: Lane;
}

/** A job's result is not there yet. */
export const PENDING = 1;

export class SlowLane {
  readonly completions = check(eventfd(), 'make an eventfd');
  readonly #states = new Int32Array(new SharedArrayBuffer(4 * STATES));
  readonly #jobs = new Float64Array(new SharedArrayBuffer(8 * FIELDS * MAX_JOBS));
  readonly #workers: Staff[] = [];
  /** By which the kernel syncs files itself; null where it cannot. */
  #syncs: BackgroundSync | null | undefined = undefined;

  /**
   * Copies from one descriptor to another, and makes the copy last as `settle` says. Both must stay open until the result is
   * taken. Answers the job's number, or -1 where there are too many.
   */
  copy(from: number, to: number, length: number, blocks: number, settle: Settle): number {
    return this.#submit(KIND.copy, from, to, length, blocks, settle);
  }

  /** Brings a file to the disk; answers as `copy` does. */
  sync(fd: number, dataOnly: boolean): number {
    this.#syncs ??= BackgroundSync.open(this.completions) ?? null;
    const begun = this.#syncs?.begin(fd, dataOnly) ?? -1;
    if (begun >= 0) return MAX_JOBS + begun;
    return this.#submit(dataOnly ? KIND.fdatasync : KIND.fsync, fd, -1, 0, 0, SETTLE.none);
  }

  /** Reads a file's data into memory; answers as `copy` does, or -1 where that would wait for other work. */
  read(fd: number, offset: number, length: number): number {
    const others = this.#underWay(PROMPT).filter((job) => this.#jobs[job * FIELDS + FIELD.kind] !== KIND.read);
    if (others.length >= MAX_WORKERS) return -1;
    return this.#submit(KIND.read, fd, -1, length, 0, SETTLE.none, offset);
  }

  /**
   * Removes a directory of the workdir with all that is in it, and closes the workdir's descriptor, of which nobody is
   * told. Answers whether that will be done.
   *
   * @param number of its name; see temporary-name.ts.
   */
  discard(workdir: number, number: number): boolean {
    return this.#submit(KIND.discard, workdir, number, 0, 0, SETTLE.none) >= 0;
  }

  /** Closes a descriptor, of which nobody is told. Answers whether that will be done. */
  close(fd: number): boolean {
    return this.#submit(KIND.close, fd, -1, 0, 0, SETTLE.none) >= 0;
  }

  /** PENDING, or the job's result, 0 or a negative errno, after which its number is free again. */
  take(job: number): number {
    if (job >= MAX_JOBS) return this.#syncs?.take(job - MAX_JOBS) ?? PENDING;
    if (Atomics.load(this.#states, job) !== JOB.done) return PENDING;
    const outcome = this.#jobs[job * FIELDS + FIELD.result] ?? 0;
    Atomics.store(this.#states, job, JOB.free);
    return outcome;
  }

  end(): void {
    this.#awaitWorkers();
    this.#syncs?.close();
    // A job that is in the middle of a system call writes to it when that ends.
    const ended = Promise.all(this.#workers.map(({ worker }) => worker.terminate()));
    if (this.#workers.length === 0) close(this.completions);
    else void ended.then(() => close(this.completions));
  }

  #submit(kind: number, fd: number, to: number, length: number, blocks: number, settle: Settle, offset = 0): number {
    const job = this.#states.subarray(0, MAX_JOBS).indexOf(JOB.free);
    if (job < 0) return -1;
    const base = job * FIELDS;
    this.#jobs[base + FIELD.kind] = kind;
    this.#jobs[base + FIELD.fd] = fd;
    this.#jobs[base + FIELD.to] = to;
    this.#jobs[base + FIELD.length] = length;
    this.#jobs[base + FIELD.blocks] = blocks;
    this.#jobs[base + FIELD.settle] = settle;
    this.#jobs[base + FIELD.offset] = offset;
    const lane = this.#laneOf(job);
    Atomics.store(this.#states, job, lane.queued);
    this.#staff(lane);
    Atomics.add(this.#states, lane.submissions, 1);
    Atomics.notify(this.#states, lane.submissions, 1);
    return job;
  }

  /** A thread that is ended while it binds functions of the C library takes the process with it (koffi). */
  #awaitWorkers(): void {
    for (;;) {
      const ready = Atomics.load(this.#states, READY);
      if (ready >= this.#workers.length) return;
      if (Atomics.wait(this.#states, READY, ready, LONGEST_START) === 'timed-out') return;
    }
  }

  #laneOf(job: number): Lane {
    const isCopy = this.#jobs[job * FIELDS + FIELD.kind] === KIND.copy;
    return isCopy && (this.#jobs[job * FIELDS + FIELD.length] ?? 0) >= LARGE_SIZE ? PATIENT : PROMPT;
  }

  #underWay(lane: Lane): number[] {
    const jobs = [...this.#states.subarray(0, MAX_JOBS).keys()].filter((job) => this.#laneOf(job) === lane);
    return jobs.filter((job) => this.#states[job] === lane.queued || this.#states[job] === JOB.running);
  }

  /** A worker more, while jobs outnumber them: most mounts need none. */
  #staff(lane: Lane): void {
    const present = this.#workers.filter((one) => one.lane === lane).length;
    if (present >= Math.min(MAX_WORKERS, this.#underWay(lane).length)) return;
    const { completions } = this;
    const workerData: SlowWorkerInput = { states: this.#states, jobs: this.#jobs, completions, lane };
    // The compiled file: a worker cannot run TypeScript on every Node that we support.
    const worker = new Worker(new URL('./slow-worker.js', import.meta.url), { workerData });
    const staff: Staff = { worker, lane };
    worker.unref();
    // The next job has another one made.
    worker.on('error', (error) => {
      log(`a thread for what takes long failed: ${error.message}`);
      this.#workers.splice(this.#workers.indexOf(staff), 1);
    });
    this.#workers.push(staff);
  }
}
