import { toBytes } from '../../fs/index.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { mountAt } from '../../fs/sys/mountinfo.ts';
import { REAL_OWNERS } from '../image/layer-file.ts';
import { packTree, type PackOptions } from '../image/pack.ts';
import { type Container, liveStatus } from './container.ts';
import { mappingsOf, namesInside } from './user-namespace/owner-names.ts';
import { mountAside } from './mount-aside.ts';

/** The process in whose mount namespace the container's filesystem is mounted; undefined for one that does not run. */
export function exportedProcess(container: Container): number | undefined {
  const state = container.readState();
  return liveStatus(state) === 'running' ? state.supervisor?.pid : undefined;
}

/**
 * A container's filesystem as an archive: what its union shows, with the init layer's files and without what is mounted
 * over it, as docker has it. One that runs is read in the mount that it has; another is mounted for the time, read-only.
 *
 * Call it where `enterNamespacesOf` or `enterUserNamespace` has been.
 */
export async function* exportContainer(container: Container, options: PackOptions): AsyncGenerator<Uint8Array> {
  if (exportedProcess(container) !== undefined) {
    if (mountAt(toBytes(container.merged)) === undefined) {
      throw new Error(`its filesystem is not mounted here; end the container, and export it then`);
    }
    const owners = namesInside(mappingsOf(container));
    yield* packMounted(container, { ...options, isLive: true, owners });
    return;
  }
  const union = await mountAside(container, 'read');
  try {
    yield* packMounted(container, options);
  } finally {
    await union.unmount();
  }
}

async function* packMounted(container: Container, options: PackOptions): AsyncGenerator<Uint8Array> {
  const path = toBytes(container.merged);
  const root = check(openat(-1, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open ${container.merged}`);
  try {
    yield* packTree(root, { ...options, dotNames: true }, REAL_OWNERS);
  } finally {
    close(root);
  }
}
