import { Worker } from 'node:worker_threads';
import { asFailure, type ProgramEnd, type RunProgram } from './sys/run-program.ts';

/**
 * Runs a program from a thread of its own, for a process that serves a mount: who starts a program waits until the kernel has
 * found and read it, and either may ask the mount, by the PATH alone.
 */
export const runAside: RunProgram = (program) => {
  // The compiled file: a worker cannot run TypeScript on every Node that we support.
  const worker = new Worker(new URL('./aside-worker.js', import.meta.url), { workerData: program });
  return new Promise((resolve) => {
    worker.once('message', (end: ProgramEnd) => resolve(end));
    worker.once('error', (error) => resolve(asFailure(error)));
    worker.once('exit', () => resolve(asFailure(new Error('its thread ended early'))));
  });
};
