import { type ChildProcess, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { EAGAIN, check, describeErrno } from '../../fs/sys/errno.ts';
import { close } from '../../fs/sys/file.ts';
import { CLONE_NEWNET, CLONE_NEWPID, setns } from '../../fs/sys/namespaces.ts';
import { makeNamespaces } from './namespace-advice.ts';
import { withProtectedNode } from './protected-node.ts';
import { stageEnvironment } from './stage-environment.ts';

// The thread that a container's stage is a child of. A new pid namespace is that of a thread's children, and only real
// root could set it back: so it is set on a thread of its own, which starts nothing else and lives as long as the
// container, since the kernel takes this thread for the parent whose death the container is not to outlive.

/** The network namespace of a stage: its caller's, one of its own, or that of a descriptor. */
export type StageNetwork = 'inherited' | 'own' | number;

/** The pid namespace of a stage: a new one, its caller's, or that of a process, by its pidfd, which the thread closes. */
export type StageProcesses = 'own' | 'inherited' | number;

/** What the thread is given. */
export interface SpawnerInput {
  /** The compiled stage. */
  readonly stage: string;
  /** What become the stage's descriptors 0 and up. */
  readonly files: readonly (number | 'ignore')[];
  readonly network: StageNetwork;
  readonly processes: StageProcesses;
}

/** What it tells: first the pid, in the end how the process ended. */
export type SpawnerMessage =
  | {
      readonly pid: number;
      /** Descriptor of the stage's own network namespace. */
      readonly networkNamespace?: number | undefined;
    }
  | { readonly exitCode: number | null; readonly signal: NodeJS.Signals | null };

function start({ stage, files, network, processes }: SpawnerInput): void {
  enterProcesses(processes);
  const networkNamespace = enterNetwork(network);
  const child = withProtectedNode((node) => spawnStage(node, stage, files));
  if (child.pid !== undefined) tell({ pid: child.pid, networkNamespace });
  child.once('error', refuse);
  child.once('exit', (exitCode, signal) => tell({ exitCode, signal }));
}

function spawnStage(node: string, stage: string, files: SpawnerInput['files']): ChildProcess {
  try {
    return spawn(node, [stage], {
      argv0: 'lamina',
      cwd: '/',
      env: stageEnvironment(),
      // A session of its own: a container must not reach the terminal of its caller (TIOCSTI).
      detached: true,
      stdio: [...files],
    });
  } catch (error) {
    return refuse(error);
  }
}

function refuse(error: unknown): never {
  const { errno = 0 } = error as NodeJS.ErrnoException;
  const advice =
    errno === -EAGAIN ? ': too many processes: raise ulimit -u, or the pids limit of the control group' : '';
  throw new Error(`cannot start the first process of the container: ${describeErrno(errno)}${advice}`, {
    cause: error,
  });
}

function enterProcesses(processes: StageProcesses): void {
  if (processes === 'inherited') return;
  if (processes === 'own') makeNamespaces(CLONE_NEWPID, 'make a pid namespace');
  if (processes === 'own') return;
  const entered = setns(processes, CLONE_NEWPID);
  close(processes);
  check(entered, "enter the other container's pid namespace");
}

/**
 * The stage is born in its network namespace, so that the helper which connects that can start while the stage does.
 * Answers a descriptor of one that is new.
 */
function enterNetwork(network: StageNetwork): number | undefined {
  if (network === 'inherited') return undefined;
  if (network === 'own') {
    makeNamespaces(CLONE_NEWNET, 'make a network namespace');
    return openSync('/proc/thread-self/ns/net', 'r');
  }
  check(setns(network, CLONE_NEWNET), "enter the other container's network namespace");
  return undefined;
}

function tell(message: SpawnerMessage): void {
  parentPort?.postMessage(message);
}

start(workerData as SpawnerInput);
