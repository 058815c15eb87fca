import { parentPort } from 'node:worker_threads';
import type { DirectoriesAhead } from './overlay/look-ahead.ts';
import { check } from './sys/errno.ts';
import { optimizeLater } from './sys/optimize-later.ts';
import { retireDescriptor } from './sys/retire.ts';
import { leaveSharedDirectory } from './sys/thread.ts';
import { failSession, openUnionSession, type SessionInput } from './union-session.ts';

// The thread that serves a mount of a process that has other things to do.

/** What a worker tells: it is about to serve, or could not begin; in the end, that the union is closed. */
export type WorkerMessage =
  { readonly mounted: true; readonly device: number } | { readonly mounted: false; readonly error: string } | 'ended';

/** What it tells while it serves, before its end: directories that are to be read by others. */
export type WorkerReport = { readonly ahead: DirectoriesAhead } | 'ended';

function tell(message: WorkerMessage | WorkerReport): void {
  parentPort?.postMessage(message);
}

/**
 * Serves until the kernel ends the session, or the device was retired. Once it was told of, the descriptor is the main
 * thread's to close, when this thread is no more: both may retire it.
 */
function serve(input: SessionInput): void {
  // The union sets the umask for each file that it makes, and other threads have theirs.
  check(leaveSharedDirectory(), 'separate the worker from the umask of other threads');
  const { session, device } = openUnionSession(input, (ahead) => tell({ ahead }));
  tell({ mounted: true, device });
  optimizeLater();
  try {
    session.run();
    // Whoever still waits for an answer gets ENOTCONN.
    retireDescriptor(device);
  } catch (error) {
    failSession(input, device, error);
  }
  tell('ended');
}

/** This thread is deaf while it serves. */
function main(input: SessionInput): void {
  try {
    serve(input);
  } catch (error) {
    tell({ mounted: false, error: error instanceof Error ? error.message : String(error) });
  }
}

parentPort?.once('message', main);
