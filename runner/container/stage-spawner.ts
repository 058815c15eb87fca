import { openSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { check } from '../../fs/sys/errno.ts';
import { close } from '../../fs/sys/file.ts';
import { CLONE_NEWNET, CLONE_NEWPID, setns } from '../../fs/sys/namespaces.ts';
import { makeNamespaces } from './namespace-advice.ts';
import { startApart, startHere, type ProcessEnd, type StageProgram, type StartedStage } from './stage-start.ts';

// The thread that a stage is a child of which is to be born in namespaces of others. The pid namespace that a thread has
// set is that of its children, and only real root could set it back: so it is set on a thread of its own, which starts
// nothing else and lives as long as the container, since the kernel takes this thread for the parent whose death the
// container is not to outlive. It takes longer to come up than what else can have a process in a new pid namespace.

/** The network namespace of a stage: its caller's, one of its own, or that of a descriptor. */
export type StageNetwork = 'inherited' | 'own' | number;

/** The pid namespace of a stage: a new one, its caller's, or that of a process, by its pidfd, which the thread closes. */
export type StageProcesses = 'own' | 'inherited' | number;

/** The user namespace of a stage: its caller's, a new one without any ids yet, or that of a descriptor. */
export type StageUsers = 'inherited' | 'own' | number;

/** The namespaces that a stage is started in. */
export interface StageNamespaces {
  readonly network: StageNetwork;
  readonly processes: StageProcesses;
  readonly users: StageUsers;
}

/** What the thread is given. */
export type SpawnerInput = StageProgram & StageNamespaces;

/** What it tells: first the pid, in the end how the process ended. */
export type SpawnerMessage = Omit<StartedStage, 'ended'> | ProcessEnd;

async function start(input: SpawnerInput): Promise<void> {
  const { ended, ...stage } = await begin(input);
  tell(stage);
  tell(await ended);
}

async function begin(input: SpawnerInput): Promise<StartedStage> {
  const { network, processes, users } = input;
  if (users === 'inherited') {
    enterProcesses(processes);
    const networkNamespace = enterNetwork(network);
    return { ...(await startHere(input)), networkNamespace };
  }
  // New ones are to be the user namespace's own.
  if (processes !== 'own') enterProcesses(processes);
  if (network !== 'own') enterNetwork(network);
  return startApart(input, { network: network === 'own', processes: processes === 'own', users });
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

void start(workerData as SpawnerInput);
