import { isLive } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { sharedContainer } from '../runner/container/options/namespaces.ts';
import { enterNamespacesOf, enterUserNamespace } from '../runner/container/userns.ts';
import { storeRoot } from '../runner/image/store-root.ts';

/** Options of a new container that may share another one's namespaces. */
interface SharingFlags {
  readonly network?: string;
  readonly pid?: string;
  readonly ipc?: string;
  readonly uts?: string;
  readonly userns?: string;
}

/**
 * As `enterUserNamespace`, for a command that makes a container; an ordinary user goes into the user namespace of the
 * container whose namespaces are to be shared, since nobody outside of it may enter those.
 */
export async function enterNamespacesFor({ network, pid, ipc, uts, userns }: SharingFlags): Promise<void> {
  await enterBeside(
    [network, pid, ipc, uts, userns].map((choice) => sharedContainer(choice ?? '')),
    false,
  );
}

/** As `enterNamespacesFor`, for a command that starts containers which are there. */
export async function enterNamespacesToStart(references: readonly string[]): Promise<void> {
  const containers = new ContainerStore(storeRoot());
  const known = references.filter((reference) => containers.has(reference));
  const options = known.map((reference) => containers.find(reference).config.options);
  const shared = options.flatMap((option) => [
    option?.network.container,
    sharedContainer(option?.namespaces.pid ?? ''),
    sharedContainer(option?.namespaces.ipc ?? ''),
    sharedContainer(option?.namespaces.uts ?? ''),
    option?.namespaces.users?.container,
  ]);
  await enterBeside(shared, true);
}

async function enterBeside(references: readonly (string | undefined)[], quiet: boolean): Promise<void> {
  const containers = new ContainerStore(storeRoot());
  const name = references.find((reference) => reference !== undefined && containers.has(reference));
  const state = name === undefined ? undefined : containers.find(name).readState();
  const supervisor = state !== undefined && isLive(state) ? state.supervisor : undefined;
  if (supervisor === undefined) await enterUserNamespace(quiet);
  else enterNamespacesOf(supervisor.pid);
}
