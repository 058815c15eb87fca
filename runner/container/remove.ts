import { removeLeftGroups } from './cgroup/cgroup.ts';
import { type Container, type ContainerState, liveStatus } from './container.ts';
import { type ContainerStore } from './container-store.ts';
import { killProcess } from './kill-process.ts';
import { type ProcessIdentity, isAlive } from './process-identity.ts';

const KILL_TIMEOUT_MILLISECONDS = 10_000;
// The kernel ends a container with its client, but not in the same instant.
const FOLLOW_MILLISECONDS = 1_000;
const POLL_MILLISECONDS = 10;

/**
 * Removes a container and its files.
 *
 * @param force ends it first where it runs: its client is killed, and the kernel kills the container with it; one that
 *   has outlived its client is killed itself.
 */
export async function removeContainer(containers: ContainerStore, container: Container, force: boolean): Promise<void> {
  const { name } = container.config;
  const state = container.readState();
  if (liveStatus(state) === 'orphaned') await follow(state);
  if (force) await endAll(state, name);
  else checkEnded(state, name);
  await removeLeftGroups(container.directory);
  containers.remove(container);
}

function checkEnded(state: ContainerState, name: string): void {
  const status = liveStatus(state);
  if (status === 'exited' || status === 'dead') return;
  const what = {
    running: 'is running',
    created: 'is being started',
    orphaned: `runs on as process ${state.init?.pid ?? 0} without its client, which was killed`,
  }[status];
  throw new Error(`container ${name} ${what}: end it first, or give --force, which kills it`);
}

/** Gives the first process of a container whose client is gone the time to end. */
async function follow({ init }: ContainerState): Promise<void> {
  if (init !== undefined) await hasEnded(init, FOLLOW_MILLISECONDS);
}

async function endAll(state: ContainerState, name: string): Promise<void> {
  // The client of a container that has ended may have other work, such as to remove it.
  const client = state.status === 'exited' ? undefined : state.client;
  for (const identity of [client, state.init]) if (identity !== undefined) await end(identity, name);
}

async function end(identity: ProcessIdentity, name: string): Promise<void> {
  if (!isAlive(identity)) return;
  const mayKill = killProcess(identity.pid);
  if (await hasEnded(identity, mayKill ? KILL_TIMEOUT_MILLISECONDS : FOLLOW_MILLISECONDS)) return;
  const process = `process ${identity.pid} of container ${name}`;
  if (mayKill) throw new Error(`${process} does not end`);
  throw new Error(`${process} is another user's and may not be killed (EPERM): as root, kill -9 ${identity.pid}`);
}

async function hasEnded(identity: ProcessIdentity, milliseconds: number): Promise<boolean> {
  const deadline = Date.now() + milliseconds;
  while (isAlive(identity)) {
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
  }
  return true;
}
