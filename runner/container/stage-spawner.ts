import { parentPort, workerData } from 'node:worker_threads';
import { type StageNamespaces, enterNetwork, enterProcesses } from './stage-namespaces.ts';
import { type ProcessEnd } from './stage-child.ts';
import { startApart, startHere, type StageProgram, type StartedStage } from './stage-start.ts';

// The thread that a stage is a child of which is to be born in namespaces of others, where its starter would not come back
// from them: it starts nothing else and lives as long as the container, since the kernel takes this thread for the parent
// whose death the container is not to outlive. It takes longer to come up than what else can have a process in a new pid
// namespace.

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

function tell(message: SpawnerMessage): void {
  parentPort?.postMessage(message);
}

void start(workerData as SpawnerInput);
