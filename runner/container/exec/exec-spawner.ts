import { spawn } from 'node:child_process';
import { parentPort, workerData } from 'node:worker_threads';
import { check } from '../../../fs/sys/errno.ts';
import { close } from '../../../fs/sys/file.ts';
import { CLONE_NEWPID, setns } from '../../../fs/sys/namespaces.ts';
import { withProtectedNode } from '../protected-node.ts';
import { stageEnvironment } from '../stage-environment.ts';

// The thread that the stages which are added to a container are children of. Its children are born in the container's
// pid namespace, and it could not have any elsewhere again.

/** What the thread is given. */
export interface ExecSpawnerInput {
  /** The compiled stage. */
  readonly stage: string;
  /** A pidfd of the container's first process, which the thread closes; undefined where it has no pid namespace. */
  readonly init: number | undefined;
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

function start(stage: string, { number, files }: ExecSpawnerRequest): void {
  const child = withProtectedNode((node) =>
    spawn(node, [stage], {
      argv0: 'lamina',
      cwd: '/',
      env: stageEnvironment(),
      // A session of its own: a container must not reach the terminal of its caller (TIOCSTI).
      detached: true,
      stdio: [...files],
    }),
  );
  if (child.pid !== undefined) tell({ number, pid: child.pid });
  child.once('error', ({ message }) => tell({ number, error: message }));
  child.once('exit', (exitCode, signal) => tell({ number, exitCode, signal }));
}

function tell(message: ExecSpawnerMessage): void {
  parentPort?.postMessage(message);
}

const { stage, init } = workerData as ExecSpawnerInput;
if (init !== undefined) enter(init);
parentPort?.on('message', (request: ExecSpawnerRequest) => start(stage, request));
