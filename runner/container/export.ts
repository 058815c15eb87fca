import { statfsSync } from 'node:fs';
import { exitNow, type Mount, mount, toBytes } from '../../fs/index.ts';
import { MNT_DETACH, O_CLOEXEC, O_DIRECTORY, O_RDONLY, UMOUNT_NOFOLLOW } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { umount } from '../../fs/sys/mount.ts';
import { mountAt } from '../../fs/sys/mountinfo.ts';
import { REAL_OWNERS } from '../image/layer-file.ts';
import { packTree, type PackOptions } from '../image/pack.ts';
import { type Container, liveStatus } from './container.ts';
import { unionOf } from './union.ts';

/** The process in whose mount namespace the container's filesystem is mounted; undefined for one that does not run. */
export function exportedProcess(container: Container): number | undefined {
  const state = container.readState();
  return liveStatus(state) === 'running' ? state.client?.pid : undefined;
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
    yield* packMounted(container, { ...options, isLive: true });
    return;
  }
  const union = await mountToRead(container);
  const stop = endOnSignal(container);
  try {
    yield* packMounted(container, options);
  } finally {
    await union.unmount();
    await union.closed;
    stop();
  }
}

function mountToRead(container: Container): Promise<Mount> {
  clearMountpoint(container);
  return mount({
    mountpoint: toBytes(container.merged),
    overlay: unionOf(container),
    fuse: { fsname: 'lamina', dev: false, readOnly: true },
  });
}

/** Takes away a mount whose daemon was killed. */
function clearMountpoint({ merged, config: { name } }: Container): void {
  if (mountAt(toBytes(merged)) === undefined) return;
  if (isAnswering(merged)) throw new Error(`the filesystem of container ${name} is mounted by another process; wait`);
  umount(toBytes(merged), MNT_DETACH | UMOUNT_NOFOLLOW);
}

// Asked by statfs(2), which the kernel always passes on: the root's attributes outlive the daemon in the kernel's cache.
function isAnswering(path: string): boolean {
  try {
    statfsSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOTCONN';
  }
}

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Leaves no mount behind where the process is asked to end; answers how that is undone. */
function endOnSignal({ merged }: Container): () => void {
  const end = (signal: NodeJS.Signals): void => {
    umount(toBytes(merged), MNT_DETACH | UMOUNT_NOFOLLOW);
    exitNow(SIGNALS[signal as keyof typeof SIGNALS]);
  };
  for (const signal of Object.keys(SIGNALS)) process.once(signal, end);
  return () => {
    for (const signal of Object.keys(SIGNALS)) process.off(signal, end);
  };
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
