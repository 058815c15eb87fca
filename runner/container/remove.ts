import { type Container, liveStatus } from './container.ts';
import { type ContainerStore } from './container-store.ts';
import { type ProcessIdentity, isAlive } from './process-identity.ts';

const KILL_TIMEOUT_MILLISECONDS = 10_000;
const POLL_MILLISECONDS = 10;

/**
 * Removes a container and its files.
 *
 * @param force ends it first where it runs: its client is killed, and the kernel kills the container with it.
 */
export async function removeContainer(containers: ContainerStore, container: Container, force: boolean): Promise<void> {
  const { name } = container.config;
  const state = container.readState();
  const status = liveStatus(state);
  const isLive = status === 'running' || status === 'created';
  if (isLive && !force) {
    const what = status === 'running' ? 'is running' : 'is being started';
    throw new Error(`container ${name} ${what}: end it first, or give --force, which kills it`);
  }
  for (const identity of isLive ? [state.client, state.init] : [state.init]) {
    if (identity !== undefined) await end(identity, name);
  }
  containers.remove(container);
}

async function end(identity: ProcessIdentity, name: string): Promise<void> {
  if (!isAlive(identity)) return;
  kill(identity.pid);
  const deadline = Date.now() + KILL_TIMEOUT_MILLISECONDS;
  while (isAlive(identity)) {
    if (Date.now() > deadline) throw new Error(`process ${identity.pid} of container ${name} does not end`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // ESRCH: it has just ended. EPERM: it belongs to another user namespace; it dies with its client.
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}
