import { existsSync } from 'node:fs';
import { removeLeftGroups } from './cgroup/cgroup.ts';
import { type Container, type ContainerState, isLive, liveStatus } from './container.ts';
import { type ContainerStore } from './container-store.ts';
import { endProcesses, followSupervisor } from './end-processes.ts';
import { SIGKILL } from './signals.ts';
import { ask } from './supervisor/control-client.ts';
import { within } from './supervisor/deferred.ts';
import { removeAnonymousVolumes } from './volume/anonymous-volumes.ts';

const KILL_TIMEOUT_MILLISECONDS = 10_000;

/**
 * Removes a container and its files.
 *
 * @param withVolumes those made for it alone, too.
 * @param force ends it first where it runs: by its supervisor, or where that does not answer by killing both.
 */
export async function removeContainer(
  containers: ContainerStore,
  container: Container,
  force: boolean,
  withVolumes = false,
): Promise<void> {
  const { name } = container.config;
  const state = container.readState();
  if (liveStatus(state) === 'orphaned') await followSupervisor(state);
  if (force && isLive(state)) {
    await endBySupervisor(container);
    // One that is removed with its end.
    if (!existsSync(container.directory)) return;
    await endProcesses(container.readState(), name);
  }
  if (!isLive(container.readState())) await removeLeftGroups(container.directory);
  const { mounts } = container;
  containers.remove(container, (current) => checkEnded(current, name));
  if (withVolumes) removeAnonymousVolumes(containers.storeRoot, mounts);
}

/** Gives up on a supervisor that does not answer. */
async function endBySupervisor(container: Container): Promise<void> {
  await within(ask(container, { do: 'stop', signal: SIGKILL, seconds: 0 }), KILL_TIMEOUT_MILLISECONDS);
}

function checkEnded(state: ContainerState, name: string): void {
  const status = liveStatus(state);
  if (status === 'exited' || status === 'dead' || status === 'created') return;
  const what = {
    running: 'is running',
    starting: 'is being started',
    restarting: 'is about to be started again',
    orphaned: `runs on as process ${state.init?.pid ?? 0} without its supervisor, which was killed`,
  }[status];
  throw new Error(`container ${name} ${what}: end it first, or give --force, which kills it`);
}
