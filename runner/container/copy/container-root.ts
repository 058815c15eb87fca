import { toBytes } from '../../../fs/index.ts';
import { close } from '../../../fs/sys/file.ts';
import { type Container, liveStatus } from '../container.ts';
import { mountAside } from '../mount-aside.ts';
import { isAlive } from '../process-identity.ts';
import { Inside } from '../stage/inside.ts';
import { type IdMappings } from '../user-namespace/id-mappings.ts';
import { mappingsOf } from '../user-namespace/owner-names.ts';

/** A container's filesystem, open to be copied from or to. */
export interface ContainerRoot {
  readonly inside: Inside;
  /** To be called in the end, with nothing of it open any longer. */
  readonly close: () => Promise<void>;
  /** Its owners are those outside of the container, who are others inside; undefined where they are as in there. */
  readonly mappings: IdMappings | undefined;
}

/** The process in whose mount namespace the container is; undefined for one that does not run. */
export function copiedProcess(container: Container): number | undefined {
  const state = container.readState();
  return liveStatus(state) === 'running' ? state.supervisor?.pid : undefined;
}

/**
 * Opens the filesystem of a container: as its first process sees it, with its volumes, or, of one that does not run, as its
 * union shows it.
 *
 * Call it where `enterNamespacesOf` of what `copiedProcess` answers, or `enterUserNamespace`, has been.
 */
export async function openContainerRoot(container: Container, use: 'read' | 'write'): Promise<ContainerRoot> {
  const state = container.readState();
  if (liveStatus(state) === 'running' && state.init !== undefined) {
    const inside = Inside.open(`/proc/${state.init.pid}/root`);
    // The number may have been another process's by then.
    if (!isAlive(state.init)) throw new Error(`container ${container.config.name} has just ended: try again`);
    const mappings = mappingsOf(container);
    return { inside, mappings, close: () => Promise.resolve(void close(inside.fd)) };
  }
  const union = await mountAside(container, use);
  const inside = Inside.open(toBytes(container.merged));
  return {
    inside,
    mappings: undefined,
    close: () => {
      close(inside.fd);
      return union.unmount();
    },
  };
}
