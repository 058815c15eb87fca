import { type AttachOptions, startAttached } from './attach.ts';
import { type Container } from './container.ts';
import { AlreadyLive } from './supervisor/already-live.ts';
import { type ClientEnd } from './supervisor/attached-client.ts';
import { ask, NotLive } from './supervisor/control-client.ts';
import { DetachedSupervisor } from './supervisor/detached-supervisor.ts';

/**
 * Starts a container in the background; resolves once its command runs. One that runs is left as it is. Call it where
 * `enterUserNamespace` has been.
 *
 * @throws RunError where it cannot be started.
 */
export async function startContainer(container: Container): Promise<void> {
  const supervisor = DetachedSupervisor.spawn(container.options);
  try {
    supervisor.start(container);
    await supervisor.started;
  } catch (error) {
    if (!(error instanceof AlreadyLive)) throw error;
  } finally {
    supervisor.close();
  }
}

/** Starts a container, attached to it from its first output on, until it ends or the detach keys are typed. */
export async function startInForeground(container: Container, client: AttachOptions): Promise<ClientEnd> {
  const supervisor = DetachedSupervisor.spawn(container.options);
  try {
    return await startAttached(container, supervisor, client);
  } finally {
    supervisor.close();
  }
}

/**
 * Ends a container, where it runs, and starts it anew.
 *
 * @param signal in place of its own stop signal.
 * @param seconds from the signal to SIGKILL, in place of its own.
 */
export async function restartContainer(container: Container, signal?: number, seconds?: number): Promise<void> {
  try {
    await ask(container, { do: 'restart', signal, seconds });
  } catch (error) {
    if (!(error instanceof NotLive)) throw error;
    await startContainer(container);
  }
}
