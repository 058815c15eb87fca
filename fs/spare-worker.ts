import { Worker } from 'node:worker_threads';
import { exitNow } from './sys/exit.ts';

// A session's thread takes longer to come up than a mount to be made: it may come up while its mount is prepared.

let spare: Worker | undefined;

/**
 * Of what a request makes next to nothing lasts: a space for young objects of 2 MiB, of which V8 has two, is collected as
 * cheaply as the 16 MiB that it would come to. (The limit counts a third for large objects.)
 */
const YOUNG_MEBIBYTES = 6;

/** The compiled file: a worker cannot run TypeScript on every Node that we support. */
function startWorker(): Worker {
  const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MEBIBYTES };
  // Nobody writes to it, but without one of ours Node makes one in the thread, which takes that 2 ms.
  return new Worker(new URL('./worker.js', import.meta.url), { resourceLimits, stdin: true });
}

/** Starts the thread of the next mount. It does not keep this process from its end. */
export function startSpareWorker(): void {
  if (spare !== undefined) return;
  const worker = startWorker();
  // One that cannot come up is not for anybody: who needs one tries again, and hears why.
  const forget = (): void => void (spare = spare === worker ? undefined : spare);
  worker.once('error', forget).once('exit', forget).unref();
  spare = worker;
  // Node's own exit stops a thread wherever it is: one that is in a call of koffi's meanwhile aborts the process.
  process.once('exit', (code) => {
    if (spare !== undefined) exitNow(code);
  });
}

/** A thread that waits for what it is to mount, as a message. */
export function takeWorker(): Worker {
  const worker = spare ?? startWorker();
  spare = undefined;
  worker.ref();
  return worker;
}
