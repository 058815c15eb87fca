import { toBytes } from '../../../fs/index.ts';
import { type Container } from '../container.ts';
import { type MountPoint } from '../init-layer.ts';
import { liveFileVolumes } from '../live-files.ts';
import { type MountOptions } from '../options/mounts.ts';
import { type MountSpec } from '../spec.ts';
import { resolveInLayers } from '../merged-tree.ts';
import { type ContainerMount } from './container-mount.ts';
import { unionMountpoint } from './volume-unions.ts';

type Placed = Pick<ContainerMount, 'destination'>;

/** Whether a path lies at or below a mount's. */
function isCovered(path: string, mounts: readonly Placed[]): boolean {
  return mounts.some(({ destination }) => path === destination || path.startsWith(`${destination}/`));
}

/** What the init layer must have for the mounts; what lies in another mount is made there. */
export function mountPointsOf(
  mounts: readonly ContainerMount[],
  { readOnly, temporaries }: Pick<MountOptions, 'readOnly' | 'temporaries'>,
): MountPoint[] {
  const ownMounts = ['/dev', '/sys'].map((destination) => ({ destination }));
  const points = mounts.filter((mount) => {
    const others = mounts.filter((other) => other !== mount);
    return !isCovered(mount.destination, [...ownMounts, ...others]);
  });
  const temporary = readOnly && temporaries ? ['/run', '/tmp', '/var/tmp'] : [];
  return [
    ...points.map((mount) => ({
      path: toBytes(mount.destination),
      isDirectory: mount.type === 'tmpfs' || mount.isDirectory,
    })),
    ...temporary.map((path) => ({ path, isDirectory: true })),
  ];
}

/** As podman has it: a volume in whose place the image has nothing is the caller's, where the container runs as him. */
function isKeptUsers({ config }: Container, { type, destination }: ContainerMount): boolean {
  if (type !== 'volume' || config.options?.namespaces.users?.kept === undefined) return false;
  return resolveInLayers(config.layers, toBytes(destination))?.kind === 'absent';
}

/** What the stage of a container is to mount. */
export function stageMounts(container: Container, { readOnly, temporaries, hasHostFiles }: MountOptions): MountSpec {
  const { mounts } = container;
  const own = hasHostFiles === true ? [] : liveFileVolumes(container.files, container.options.network);
  const live = own.filter((file) => !isCovered(file.destination, mounts));
  const volumes = mounts.map((mount, at): MountSpec['volumes'][number] => {
    if (mount.type === 'tmpfs') return mount;
    const { source, union, destination, populate, ...rest } = mount;
    const attributes = { ...rest, type: 'bind' as const, destination };
    // What is filled is the volume itself, not what lies over it.
    const fills = populate === true && !isKeptUsers(container, mount);
    if (union === undefined) return { ...attributes, source, ...(fills ? { populate } : {}) };
    return { ...attributes, source: unionMountpoint(container, at) };
  });
  return { readOnly, temporaries, volumes: [...live, ...volumes] };
}
