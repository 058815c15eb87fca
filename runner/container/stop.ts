import { type Container, liveStatus } from './container.ts';
import { endProcesses } from './end-processes.ts';
import { ask, NotLive } from './supervisor/control-client.ts';

/**
 * Ends a container as `docker stop` does; one that does not run is left as it is.
 *
 * @param signal in place of its own stop signal.
 * @param seconds from the signal to SIGKILL, in place of its own; negative for no end of it.
 */
export async function stopContainer(container: Container, signal?: number, seconds?: number): Promise<void> {
  const state = container.readState();
  if (liveStatus(state) === 'orphaned') {
    await endProcesses(state, container.config.name);
    return;
  }
  try {
    await ask(container, { do: 'stop', signal, seconds });
  } catch (error) {
    if (!(error instanceof NotLive)) throw error;
  }
}
