import { type ContainerState } from './container.ts';
import { killProcess } from './kill-process.ts';
import { type ProcessIdentity, isAlive } from './process-identity.ts';
import { delay } from './supervisor/deferred.ts';

const KILL_TIMEOUT_MILLISECONDS = 10_000;
// The kernel ends a container with its supervisor, but not in the same instant.
const FOLLOW_MILLISECONDS = 1_000;
const POLL_MILLISECONDS = 10;

/** Gives the first process of a container whose supervisor is gone the time to end. */
export async function followSupervisor({ init }: ContainerState): Promise<void> {
  if (init !== undefined) await hasEnded(init, FOLLOW_MILLISECONDS);
}

/** Kills what is left of a container: its supervisor, and its first process, with which all others end. */
export async function endProcesses(state: ContainerState, name: string): Promise<void> {
  // The supervisor of a container that has ended may have other work, such as to remove it.
  const supervisor = state.status === 'exited' ? undefined : state.supervisor;
  for (const identity of [supervisor, state.init]) if (identity !== undefined) await end(identity, name);
}

/** Kills a process that may run, and gives it the time to end; answers how that went. */
export async function endProcess(identity: ProcessIdentity): Promise<'ended' | 'stays' | 'another user’s'> {
  if (!isAlive(identity)) return 'ended';
  const mayKill = killProcess(identity.pid);
  if (await hasEnded(identity, mayKill ? KILL_TIMEOUT_MILLISECONDS : FOLLOW_MILLISECONDS)) return 'ended';
  return mayKill ? 'stays' : 'another user’s';
}

async function end(identity: ProcessIdentity, name: string): Promise<void> {
  const outcome = await endProcess(identity);
  if (outcome === 'ended') return;
  const process = `process ${identity.pid} of container ${name}`;
  if (outcome === 'stays') throw new Error(`${process} does not end`);
  throw new Error(`${process} is another user's and may not be killed (EPERM): as root, kill -9 ${identity.pid}`);
}

async function hasEnded(identity: ProcessIdentity, milliseconds: number): Promise<boolean> {
  const deadline = Date.now() + milliseconds;
  while (isAlive(identity)) {
    if (Date.now() > deadline) return false;
    await delay(POLL_MILLISECONDS);
  }
  return true;
}
