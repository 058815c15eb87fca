import { statSync } from 'node:fs';
import { join } from 'node:path';
import { toBytes } from '../../../fs/index.ts';
import { type Image } from '../../image/image.ts';
import { type BoundMount, type ContainerMount, type UnionMount } from './container-mount.ts';
import { type BindRequest, type MountRequest, type VolumeRequest, checkDestination } from './mount-request.ts';
import { type VolumeStore } from './volume-store.ts';

/** What the mounts of a new container are made of. */
export interface MountSources {
  readonly volumes: VolumeStore;
  /** Of the container that is being made. */
  readonly container: string;
  /** Its image, whose VOLUMEs it gets. */
  readonly image: Image;
  /** An image of the store, which is kept for as long as the container. */
  readonly useImage: (reference: string) => Image;
  /** The mounts of another container. */
  readonly mountsOf: (reference: string) => readonly ContainerMount[];
}

/** `--volumes-from` of one container. */
export interface VolumesFrom {
  readonly container: string;
  /** In place of what that container has. */
  readonly readOnly?: boolean;
}

/**
 * The mounts of a new container, the volumes made: what is asked for, then what others have, then the image's VOLUMEs; who
 * comes first has a place.
 *
 * @throws where two are asked for on one place.
 */
export function resolveMounts(
  requests: readonly MountRequest[],
  from: readonly VolumesFrom[],
  sources: MountSources,
): ContainerMount[] {
  const mounts = new Map<string, ContainerMount>();
  for (const request of requests) {
    const { destination } = request;
    if (mounts.has(destination)) throw new Error(`two mounts are asked for on ${destination}`);
    mounts.set(destination, resolve(request, sources));
  }
  for (const mount of from.flatMap((other) => inherited(other, sources))) {
    if (!mounts.has(mount.destination)) mounts.set(mount.destination, mount);
  }
  for (const path of sources.image.config.volumes) {
    const destination = checkDestination(path.startsWith('/') ? path : `/${path}`);
    const request: VolumeRequest = { type: 'volume', destination, readOnly: false };
    if (!mounts.has(destination)) mounts.set(destination, resolve(request, sources));
  }
  return [...mounts.values()];
}

function inherited({ container, readOnly }: VolumesFrom, sources: MountSources): BoundMount[] {
  const { mountsOf, volumes, container: user } = sources;
  return mountsOf(container).flatMap((mount) => {
    if (mount.type !== 'bind' && mount.type !== 'volume') return [];
    // Held for the new container, too, and not removed with it.
    if (mount.type === 'volume' && mount.name !== undefined) volumes.create(mount.name, {}, user);
    const shared: BoundMount = { ...mount };
    Reflect.deleteProperty(shared, 'isAnonymous');
    return [readOnly === undefined ? shared : { ...shared, readOnly }];
  });
}

function resolve(request: MountRequest, sources: MountSources): ContainerMount {
  switch (request.type) {
    case 'tmpfs':
      return request;
    case 'bind':
      return resolveBind(request);
    case 'volume':
      return resolveVolume(request, sources);
    case 'image': {
      const { image, ...rest } = request;
      const { layers } = sources.useImage(image);
      const union = { lowers: layers, isWritable: !request.readOnly };
      return { ...rest, name: image, source: '', isDirectory: true, union };
    }
  }
}

function resolveBind({ overlay, ...bind }: BindRequest): BoundMount {
  const isDirectory = isDirectoryAt(bind.source, bind.subpath);
  if (overlay === true && !isDirectory)
    throw new Error(`cannot mount ${bind.source} as an overlay: it is no directory`);
  return { ...bind, isDirectory, ...(overlay === true ? { union: overlayOn(bind.source) } : {}) };
}

function overlayOn(source: string): UnionMount {
  return { lowers: [toBytes(source)], isWritable: true };
}

function isDirectoryAt(source: string, subpath = ''): boolean {
  return statSync(join(source, subpath)).isDirectory();
}

function resolveVolume(request: VolumeRequest, { volumes, container }: MountSources): BoundMount {
  const { name, labels = {}, noCopy, overlay, ...rest } = request;
  const volume = volumes.create(name, labels, container);
  return {
    ...rest,
    name: volume.name,
    ...(name === undefined ? { isAnonymous: true } : {}),
    source: volume.data,
    isDirectory: true,
    ...(noCopy === true || rest.subpath !== undefined ? {} : { populate: true }),
    ...(overlay === true ? { union: overlayOn(volume.data) } : {}),
  };
}
