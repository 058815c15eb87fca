import { parentPort, workerData } from 'node:worker_threads';
import { check } from '../../../fs/sys/errno.ts';
import { close } from '../../../fs/sys/file.ts';
import { CLONE_NEWPID, setns } from '../../../fs/sys/namespaces.ts';
import { type EnteredNamespaces, launchIn } from '../user-namespace/launch.ts';

// The thread that the stages which are added to a container are children of. Its children are born in the container's
// pid namespace, and it could not have any elsewhere again.

/** What the thread is given. */
export interface ExecSpawnerInput {
  /** The compiled stage. */
  readonly stage: string;
  /** A pidfd of the container's first process, which the thread closes; undefined where it has no pid namespace. */
  readonly init: number | undefined;
  /** Descriptors of those of its namespaces that no process of several threads can enter. */
  readonly entered: EnteredNamespaces;
}

/** What it is asked for: a stage with these as its descriptors 0 and up. */
export interface ExecSpawnerRequest {
  readonly number: number;
  readonly files: readonly (number | 'ignore')[];
}

/** What it tells of a request: first the pid, or why there is none, in the end how the process ended. */
export type ExecSpawnerMessage = { readonly number: number } & (
  | { readonly pid: number }
  | { readonly error: string }
  | { readonly exitCode: number | null; readonly signal: NodeJS.Signals | null }
);

function enter(init: number): void {
  const entered = setns(init, CLONE_NEWPID);
  close(init);
  check(entered, "enter the container's pid namespace");
}

function start({ stage, entered }: ExecSpawnerInput, { number, files }: ExecSpawnerRequest): void {
  const child = launchIn({ stage, files }, entered);
  if (child.pid !== undefined) tell({ number, pid: child.pid });
  child.once('error', ({ message }) => tell({ number, error: message }));
  child.once('exit', (exitCode, signal) => tell({ number, exitCode, signal }));
}

function tell(message: ExecSpawnerMessage): void {
  parentPort?.postMessage(message);
}

const input = workerData as ExecSpawnerInput;
if (input.init !== undefined) enter(input.init);
parentPort?.on('message', (request: ExecSpawnerRequest) => start(input, request));
