import { type Growth } from './growing-file.ts';
import { type LayerArchive, unpackArchive, type UnpackedArchive } from './layer-archive.ts';
import { UnpackThread } from './unpack-thread.ts';

/** Threads beside the calling one. With more of them, two cores are no busier, and the memory grows. */
const THREADS = 1;
/** Bytes of archives that wait; for less, a thread does not pay. */
const WORTH_A_THREAD = 8 << 20;
/** What unfinished layers may keep in memory before the next one is begun, each counted for at least the second. */
const UNFINISHED_BYTES = 16 << 20;
const UNFINISHED_LEAST = 1 << 19;

type Unpack = (archive: LayerArchive, growth: Growth, signal: AbortSignal) => Promise<UnpackedArchive>;

interface Job {
  readonly archive: LayerArchive;
  readonly growth: Growth;
  readonly resolve: (unpacked: UnpackedArchive) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Unpacks layers side by side: in the calling thread, and where there is enough to do, in others. They are begun in the
 * order in which they are given, and must be finished in that order.
 */
export class UnpackLanes {
  readonly #signal: AbortSignal;
  readonly #queue: Job[] = [];
  readonly #threads: Promise<UnpackThread | undefined>[] = [];
  #isManned = false;
  #unfinished = 0;
  #wake: (() => void)[] = [];

  /** @param signal ends what is under way, and lets nothing begin. */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wakeAll(), { once: true });
  }

  /** Settled when the archive is unpacked. Its layer must be finished, or the signal given. */
  add(archive: LayerArchive, growth: Growth): Promise<UnpackedArchive> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ archive, growth, resolve, reject });
      this.#staff();
    });
  }

  #staff(): void {
    if (!this.#isManned) {
      this.#isManned = true;
      void this.#run(unpackArchive).finally(() => (this.#isManned = false));
    }
    const waiting = this.#queue.reduce((sum, { archive }) => sum + archive.size, 0);
    if (this.#threads.length < THREADS && waiting >= WORTH_A_THREAD) this.#startThread();
  }

  #startThread(): void {
    const starting = UnpackThread.start();
    this.#threads.push(starting);
    // Without one, the calling thread does it all.
    void starting.then((thread) => {
      if (thread !== undefined) void this.#run((...job) => thread.unpack(...job));
    });
  }

  async #run(unpack: Unpack): Promise<void> {
    for (let job = await this.#next(); job !== undefined; job = await this.#next()) {
      const { archive, growth, resolve, reject } = job;
      await unpack(archive, growth, this.#signal).then((unpacked) => resolve(this.#counted(unpacked)), reject);
    }
  }

  async #next(): Promise<Job | undefined> {
    while (this.#unfinished > UNFINISHED_BYTES && !this.#signal.aborted) {
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
    if (this.#signal.aborted) for (const job of this.#queue.splice(0)) job.reject(this.#signal.reason);
    return this.#queue.shift();
  }

  #counted(unpacked: UnpackedArchive): UnpackedArchive {
    const bytes = Math.max(unpacked.retained, UNFINISHED_LEAST);
    this.#unfinished += bytes;
    const finish: UnpackedArchive['finish'] = async (lowers) => {
      const finished = await unpacked.finish(lowers);
      this.#unfinished -= bytes;
      this.#wakeAll();
      return finished;
    };
    return { ...unpacked, finish };
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** To be called when all is settled. */
  end(): void {
    for (const starting of this.#threads) void starting.then((thread) => thread?.end());
  }
}
