import { existsSync } from 'node:fs';
import { openStore } from '../image/store.ts';
import { type Container } from './container.ts';
import { ContainerStore } from './container-store.ts';
import { type RunOptions, createContainer } from './create.ts';
import { imageOf } from './run.ts';
import { DetachedSupervisor } from './supervisor/detached-supervisor.ts';
import { removeAnonymousVolumes } from './volume/anonymous-volumes.ts';

/** Those who are told of a new container. */
export interface Listeners {
  /** It has been made, and not been started. */
  readonly created: (container: Container) => void;
  readonly report: (message: string) => void;
}

/** Makes a container that is not started. Call it where `enterUserNamespace` has been. */
export async function create(options: RunOptions, { created, report }: Listeners): Promise<Container> {
  const store = openStore();
  const containers = new ContainerStore(store.root, (id) => store.release(id));
  const image = await imageOf(store, options, report);
  const container = createContainer(store, containers, image, options, { status: 'created' });
  created(container);
  return container;
}

/**
 * Runs a command in a new container that goes on by itself; resolves once the command runs.
 *
 * @throws RunError where it cannot be started.
 */
export async function runDetached(options: RunOptions, listeners: Listeners): Promise<Container> {
  const supervisor = DetachedSupervisor.spawn(options.container);
  try {
    const container = await create(options, listeners);
    await discardingUnstarted(container, () => {
      supervisor.start(container);
      return supervisor.started;
    });
    return container;
  } finally {
    supervisor.close();
  }
}

/**
 * Has a new container started. One that is to go with its end goes, too, where its supervisor could not begin: where it
 * could, that does it.
 */
export async function discardingUnstarted<T>(container: Container, start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    if (container.options.lifecycle.remove && existsSync(container.directory)) discard(container);
    throw error;
  }
}

function discard(container: Container): void {
  if (container.readState().status !== 'created') return;
  const store = openStore();
  new ContainerStore(store.root, (id) => store.release(id)).remove(container);
  removeAnonymousVolumes(store.root, container.mounts);
}
