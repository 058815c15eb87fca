import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { DirectoryReaders } from './directories-ahead.ts';
import type { DirectoriesAhead } from './overlay/look-ahead.ts';
import { log } from './sys/log.ts';

// The compiled file: a worker cannot run TypeScript on every Node that we support.
const WORKER = new URL('./directories-worker.js', import.meta.url);

/** So many are read while a long request is answered. */
const AT_ONCE = 32;

/**
 * Has directories read for the thread that calls, which has requests to answer, too: by a thread that most mounts do not need,
 * and until that has come up by this one.
 */
export class DirectoriesAside {
  // Most mounts need none.
  #readers: DirectoryReaders | undefined;
  #worker: Worker | undefined;
  readonly #program: URL;
  #state: 'starting' | 'up' | 'ended' = 'starting';

  /** @param program the compiled thread. */
  constructor(program: URL = WORKER) {
    this.#program = program;
  }

  read(ahead: DirectoriesAhead): void {
    this.#worker ??= this.#start();
    if (this.#state === 'up') this.#worker.postMessage(ahead);
    else (this.#readers ??= new DirectoryReaders(AT_ONCE)).read(ahead);
  }

  /** Whether this thread's event loop should have its turns soon. */
  get areAwaited(): boolean {
    return this.#readers?.areBusy === true;
  }

  #start(): Worker {
    const worker = new Worker(this.#program);
    worker.unref();
    worker.once('message', () => (this.#state = 'up'));
    worker.once('error', (error) => log(`the thread that reads directories failed: ${error.message}`));
    worker.once('exit', () => (this.#state = 'ended'));
    return worker;
  }

  /** Begins no more, at once: descriptors of layers are being closed. Resolves when the thread has ended. */
  async stop(): Promise<void> {
    this.#readers?.stop();
    const worker = this.#worker;
    if (worker === undefined || this.#state === 'ended') return;
    // One that is ended, by its process too, while it binds functions of the C library crashes it (koffi).
    if (this.#state === 'starting') {
      worker.ref();
      // Its failure is told by its listener.
      await Promise.race([once(worker, 'message'), once(worker, 'exit')]).catch(() => undefined);
    }
    await worker.terminate();
  }
}
