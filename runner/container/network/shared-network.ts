import { closeSync, openSync, readlinkSync } from 'node:fs';
import { type Container, liveStatus } from '../container.ts';
import { type ContainerStore } from '../container-store.ts';
import { type StageNetwork } from '../stage-namespaces.ts';
import { type NetworkChoice, hasOwnNetwork } from './mode.ts';

/** The container whose network is shared, which must run. */
export function sharedContainer({ container: name }: NetworkChoice, containers: ContainerStore): Container | undefined {
  if (name === undefined) return undefined;
  const container = containers.find(name);
  if (liveStatus(container.readState()) === 'running') return container;
  throw new Error(`container ${name} does not run: its network can be shared while it does`);
}

/** Calls `use` with what a new stage's network namespace is to be. */
export async function withStageNetwork<T>(
  choice: NetworkChoice,
  containers: () => ContainerStore,
  use: (network: StageNetwork) => Promise<T>,
): Promise<T> {
  if (choice.mode !== 'container') return use(hasOwnNetwork(choice) ? 'own' : 'inherited');
  const init = sharedContainer(choice, containers())?.readState().init;
  const path = `/proc/${init?.pid ?? 0}/ns/net`;
  // That one has the host's, which an ordinary user may not enter, but is in.
  if (readlinkSync(path) === readlinkSync('/proc/self/ns/net')) return use('inherited');
  const namespace = openSync(path, 'r');
  try {
    return await use(namespace);
  } finally {
    closeSync(namespace);
  }
}
