import { Worker } from 'node:worker_threads';
import { DirectoryReaders } from './directories-ahead.ts';
import type { DirectoriesAhead } from './overlay/look-ahead.ts';
import { log } from './sys/log.ts';

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
  #isUp = false;

  read(ahead: DirectoriesAhead): void {
    this.#worker ??= this.#start();
    if (this.#isUp) this.#worker.postMessage(ahead);
    else (this.#readers ??= new DirectoryReaders(AT_ONCE)).read(ahead);
  }

  /** Whether this thread's event loop should have its turns soon. */
  get areAwaited(): boolean {
    return this.#readers?.areBusy === true;
  }

  #start(): Worker {
    // The compiled file: a worker cannot run TypeScript on every Node that we support.
    const worker = new Worker(new URL('./directories-worker.js', import.meta.url));
    worker.unref();
    worker.once('message', () => (this.#isUp = true));
    worker.once('error', (error) => {
      this.#isUp = false;
      log(`the thread that reads directories failed: ${error.message}`);
    });
    return worker;
  }

  /** Begins no more: descriptors of layers are being closed. */
  stop(): void {
    this.#readers?.stop();
    void this.#worker?.terminate();
  }
}
