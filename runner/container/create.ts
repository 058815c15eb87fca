import { join } from 'node:path';
import { toBytes } from '../../fs/index.ts';
import { type Image } from '../image/image.ts';
import { type ObtainOptions } from '../image/obtain.ts';
import { withLock } from '../image/lock.ts';
import { type Store } from '../image/store.ts';
import { type Container, type ContainerState } from './container.ts';
import { type ContainerStore } from './container-store.ts';
import { isOfDirectories } from './directories.ts';
import { settleDriver } from './driver/choice.ts';
import { type MountPoint, createInitLayer } from './init-layer.ts';
import { INIT_PATH } from './init-program.ts';
import { type ContainerOptions } from './options/container-options.ts';
import { type ProcessOptions, commandOf, processOf } from './options/process.ts';
import { settleUsers } from './user-namespace/settle.ts';
import { holdMountedImage } from './volume/mounted-image.ts';
import { resolveMounts } from './volume/resolve-mounts.ts';
import { mountPointsOf } from './volume/stage-mounts.ts';
import { VolumeStore } from './volume/volume-store.ts';

/** A new container that is wanted: of which image, and what the command line asks for. */
export interface RunOptions {
  readonly image: string;
  /** In place of an image: directories of the host, absolute paths, the topmost first. */
  readonly directories?: readonly string[] | undefined;
  /** How it comes into the store; without it, it must be there. */
  readonly obtain?: ObtainOptions | undefined;
  /** Its id, where that had to be known before there is an image. */
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly container: ContainerOptions;
}

/** Makes a container's directory, whole. */
export function createContainer(
  store: Store,
  containers: ContainerStore,
  image: Image,
  wanted: RunOptions,
  state: ContainerState,
): Container {
  const { container: asked } = wanted;
  const users = asked.namespaces.users;
  const settled = (): Container =>
    make(store, containers, image, { ...wanted, container: settleUsers(asked, image, containers) }, state);
  // Between the look at the ranges of others and the first sight of this one's nobody else may look.
  return users?.auto === undefined ? settled() : withLock(join(containers.storeRoot, 'user-ranges.lock'), settled);
}

function make(
  store: Store,
  containers: ContainerStore,
  image: Image,
  { image: reference, id, name, container: asked }: RunOptions,
  state: ContainerState,
): Container {
  const hasOwnUsers = asked.namespaces.users?.mappings !== undefined;
  const options = { ...asked, driver: settleDriver(asked.driver ?? 'union', store, hasOwnUsers) };
  const { lifecycle, mounts, process } = options;
  const args = commandOf(process, image);
  if (args.length === 0) throw new Error(`image ${reference} has no command: say which one to run after its name`);
  const { id: imageId, layers } = image;
  const wanted = {
    ...{ id, name, image: reference, imageId, layers, args, process: processOf(process, image), options },
    labels: sortedByName({ ...image.config.labels, ...lifecycle.labels }),
    stopSignal: lifecycle.stopSignal ?? image.config.stopSignal ?? 'SIGTERM',
  };
  return containers.create(wanted, state, (container) => {
    if (!isOfDirectories(container)) store.hold(image, container.id);
    const resolved = resolveMounts(mounts.mounts, mounts.volumesFrom, {
      ...{ image, container: container.id, volumes: new VolumeStore(store.root) },
      useImage: (mounted) => holdMountedImage(store, mounted, container.id),
      mountsOf: (other) => containers.find(other).mounts,
    });
    container.writeMounts(resolved);
    const points = [...mountPointsOf(resolved, mounts), ...initPoints(process)];
    createInitLayer(toBytes(container.init), toBytes(container.upper), layers, points, mounts.hasHostFiles);
  });
}

function initPoints({ init }: ProcessOptions): MountPoint[] {
  return init === undefined ? [] : [{ path: INIT_PATH, isDirectory: false }];
}

/** As Go's programs print a map. */
function sortedByName(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).sort(([one], [other]) => (one < other ? -1 : 1)));
}
