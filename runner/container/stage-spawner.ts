import { type ChildProcess } from 'node:child_process';
import { openSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { EAGAIN, check, describeErrno } from '../../fs/sys/errno.ts';
import { close } from '../../fs/sys/file.ts';
import { CLONE_NEWNET, CLONE_NEWPID, setns } from '../../fs/sys/namespaces.ts';
import { FIRST_HANDED, HANDED } from './handed-files.ts';
import { makeNamespaces } from './namespace-advice.ts';
import { childOf, launchIn, launchInOwn } from './user-namespace/launch.ts';

// The thread that a container's stage is a child of. A new pid namespace is that of a thread's children, and only real
// root could set it back: so it is set on a thread of its own, which starts nothing else and lives as long as the
// container, since the kernel takes this thread for the parent whose death the container is not to outlive.

/** The network namespace of a stage: its caller's, one of its own, or that of a descriptor. */
export type StageNetwork = 'inherited' | 'own' | number;

/** The pid namespace of a stage: a new one, its caller's, or that of a process, by its pidfd, which the thread closes. */
export type StageProcesses = 'own' | 'inherited' | number;

/** The user namespace of a stage: its caller's, a new one without any ids yet, or that of a descriptor. */
export type StageUsers = 'inherited' | 'own' | number;

/** What the thread is given. */
export interface SpawnerInput {
  /** The compiled stage. */
  readonly stage: string;
  /** What become the stage's descriptors 0 and up. */
  readonly files: readonly (number | 'ignore')[];
  /** Where users are not inherited, in place of `files` from 3 on: a socket in which they wait for the stage. */
  readonly socket: number | undefined;
  readonly network: StageNetwork;
  readonly processes: StageProcesses;
  readonly users: StageUsers;
}

/** What it tells: first the pid, in the end how the process ended. */
export type SpawnerMessage =
  | {
      readonly pid: number;
      /** Descriptor of the stage's own network namespace. */
      readonly networkNamespace?: number | undefined;
      /** The process between us and the stage, in the stage's user namespace. */
      readonly launcher?: number | undefined;
    }
  | { readonly exitCode: number | null; readonly signal: NodeJS.Signals | null };

function start(input: SpawnerInput): void {
  const { child, pid, networkNamespace, launcher } = begin(input);
  if (pid !== undefined) tell({ pid, networkNamespace, launcher });
  child.once('error', refuse);
  child.once('exit', (exitCode, signal) => tell({ exitCode, signal }));
}

function begin(input: SpawnerInput): Begun {
  try {
    return input.users === 'inherited' ? startHere(input) : startApart(input, input.users);
  } catch (error) {
    // What is not spawn's own says enough.
    if ((error as NodeJS.ErrnoException).syscall?.startsWith('spawn') !== true) throw error;
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

/** What has been started. */
interface Begun {
  readonly child: ChildProcess;
  readonly pid: number | undefined;
  readonly networkNamespace?: number | undefined;
  readonly launcher?: number | undefined;
}

function startHere({ stage, files, network, processes }: SpawnerInput): Begun {
  enterProcesses(processes);
  const networkNamespace = enterNetwork(network);
  const child = launchIn({ stage, files }, {});
  return { child, pid: child.pid, networkNamespace };
}

/**
 * New namespaces are to be the user namespace's own. Descriptors that only the stage may have, since their end is told by
 * its execve(2), do not go through its launcher.
 */
function startApart({ stage, files, socket, network, processes }: SpawnerInput, users: 'own' | number): Begun {
  if (processes !== 'own') enterProcesses(processes);
  if (network !== 'own') enterNetwork(network);
  const own = {
    network: network === 'own',
    processes: processes === 'own',
    users: users === 'own' ? undefined : users,
  };
  const given: SpawnerInput['files'] = [
    ...files.slice(0, FIRST_HANDED),
    socket ?? 'ignore',
    ...files.slice(FIRST_HANDED + 1).map(() => 'ignore' as const),
  ];
  const child = launchInOwn({ stage, files: given, arguments: [HANDED] }, own);
  if (child.pid === undefined) return { child, pid: undefined };
  const pid = childOf(child.pid);
  return {
    ...{ child, pid, launcher: child.pid },
    networkNamespace: own.network ? openSync(`/proc/${pid}/ns/net`, 'r') : undefined,
  };
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
