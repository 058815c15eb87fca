import { existsSync } from 'node:fs';
import { listMounts } from '../../fs/index.ts';
import { removeLeftGroups } from './cgroup/cgroup.ts';
import { type Container, type ContainerState, isLive, liveStatus } from './container.ts';
import { type ContainerStore } from './container-store.ts';
import { endProcesses, followSupervisor } from './end-processes.ts';
import { SIGKILL } from './signals.ts';
import { ask } from './supervisor/control-client.ts';
import { within } from './supervisor/deferred.ts';
import { removeAnonymousVolumes } from './volume/anonymous-volumes.ts';

const KILL_TIMEOUT_MILLISECONDS = 10_000;
const ATTEMPTS = 10;

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
  const { mounts } = container;
  if (liveStatus(container.readState()) === 'orphaned') await followSupervisor(container.readState());
  for (let attempt = 1; ; attempt += 1) {
    try {
      await removeOnce(containers, container, force);
      break;
    } catch (error) {
      // Whoever was faster has done it.
      if (force && !existsSync(container.directory)) return;
      // Somebody else has started it meanwhile.
      if (!force || attempt === ATTEMPTS || !isLive(container.readState())) throw error;
    }
  }
  if (withVolumes) removeAnonymousVolumes(containers.storeRoot, mounts);
  // What is not mounted any more is forgotten: a supervisor that was killed has not taken its own off the list.
  await listMounts();
}

async function removeOnce(containers: ContainerStore, container: Container, force: boolean): Promise<void> {
  const { name } = container.config;
  if (force && isLive(container.readState())) {
    await endBySupervisor(container);
    // One that is removed with its end.
    if (!existsSync(container.directory)) return;
    await endProcesses(container.readState(), name);
  }
  if (!isLive(container.readState())) await removeLeft(container);
  containers.remove(container, (current) => checkEnded(current, name));
}

function removeLeft({ id, directory, config }: Container): Promise<void> {
  return removeLeftGroups(id, directory, config.options?.resources.cgroupParent);
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
