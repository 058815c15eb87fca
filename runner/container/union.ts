import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Mount, type MountOptions, mount, toBytes } from '../../fs/index.ts';
import { hasSingleId } from '../../fs/sys/id-maps.ts';
import { type Container } from './container.ts';
import { isOfDirectories } from './directories.ts';
import { type ContainerOptions } from './options/container-options.ts';
import { type IdMapping, type IdMappings } from './user-namespace/id-mappings.ts';
import { isRootless } from './userns.ts';
import { within } from './supervisor/deferred.ts';

/**
 * What a container's union is made of. As its upper is read by nothing but lamina, which follows metacopies in `diff`,
 * `commit` and `export`, a `chown -R` or `chmod -R` in it copies no data.
 */
export function unionOf(container: Container): MountOptions['overlay'] {
  const layers = {
    lowers: container.lowers,
    upper: toBytes(container.upper),
    work: toBytes(container.work),
    // Directories of the host may be changed by others meanwhile.
    ...(isOfDirectories(container) ? { timeout: 1 } : {}),
  };
  const { driver } = container.config.options ?? {};
  // Neither knows redirects and metacopies: the kernel in a user namespace (overlayfs, userxattr), and a copy.
  if (driver === 'vfs' || (driver === 'overlay' && isRootless())) {
    return { ...layers, userXattr: isRootless(), redirectDir: 'nofollow', index: false };
  }
  // Owners that one id cannot give are written down, for whoever has more.
  return hasSingleId() ? { ...layers, xattrPermissions: 2 } : { ...layers, metacopy: true };
}

/** Mounts and serves a container's union. */
export function mountUnion(container: Container, { backend, lifecycle, namespaces }: ContainerOptions): Promise<Mount> {
  return mount({
    mountpoint: toBytes(container.merged),
    // Nothing of one that is removed with its end is to survive a power cut (as podman has it).
    overlay: { ...unionOf(container), ...ownersIn(namespaces.users?.mappings), volatile: lifecycle.remove },
    fuse: { fsname: 'lamina', dev: false, ...(backend === undefined ? {} : { backend }) },
  });
}

/**
 * On disk the owners are those that the container sees, whoever these are outside: so layers are shared by containers of
 * other users, and an image that is made of the upper has the owners that were meant.
 */
function ownersIn(mappings: IdMappings | undefined): Pick<MountOptions['overlay'], 'uidMapping' | 'gidMapping'> {
  if (mappings === undefined) return {};
  const ranges = (ids: readonly IdMapping[]) =>
    ids.map(({ inside, outside, count }) => ({ host: inside, to: outside, length: count }));
  return { uidMapping: ranges(mappings.users), gidMapping: ranges(mappings.groups) };
}

// How long others may hold the mount, such as a container that is just being started and still has a copy of it. The
// next run of the container cannot have the upper before, and on a busy machine it is long till all have let go.
const UNMOUNT_GRACE_MILLISECONDS = 10_000;

/** @param report told of what goes wrong. */
export async function unmountUnion(union: Mount, report: (message: string) => void): Promise<void> {
  try {
    await union.unmount();
    await within(union.closed, UNMOUNT_GRACE_MILLISECONDS);
  } catch (error) {
    report(error instanceof Error ? error.message : String(error));
  }
  union.forget();
}

/** Lets a container be mounted again whose last mount was volatile, by whoever knows that the machine has not failed. */
export function forgetVolatile(container: Container): void {
  rmSync(join(container.work, 'work/incompat/volatile'), { recursive: true, force: true });
}
