import { toBytes } from '../../../fs/index.ts';
import { ENOENT, SystemError } from '../../../fs/sys/errno.ts';
import { close } from '../../../fs/sys/file.ts';
import { type Container, liveStatus } from '../container.ts';
import { mountAside } from '../mount-aside.ts';
import { type ProcessIdentity, isAlive } from '../process-identity.ts';
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

/** The number may be another process's by then, or nobody's. */
function openRootOf(init: ProcessIdentity, name: string): Inside {
  try {
    const inside = Inside.open(`/proc/${init.pid}/root`);
    if (isAlive(init)) return inside;
    close(inside.fd);
  } catch (error) {
    // Its root goes a little before it does (exit_fs).
    const isGone = error instanceof SystemError && error.errno === ENOENT;
    if (!isGone && isAlive(init)) throw error;
  }
  throw new Error(`container ${name} has just ended: try again`);
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
    const inside = openRootOf(state.init, container.config.name);
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
