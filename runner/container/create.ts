import { statSync } from 'node:fs';
import { toBytes } from '../../fs/index.ts';
import { type Image } from '../image/image.ts';
import { type ObtainOptions } from '../image/obtain.ts';
import { type Store } from '../image/store.ts';
import { type Container, type ContainerState } from './container.ts';
import { type ContainerStore } from './container-store.ts';
import { type MountPoint, createInitLayer } from './init-layer.ts';
import { writeLiveFiles } from './live-files.ts';
import { type ContainerOptions } from './options/container-options.ts';
import { type MountOptions, isCovered } from './options/mounts.ts';
import { commandOf, hostnameOf, processOf } from './options/process.ts';

/** A new container that is wanted: of which image, and what the command line asks for. */
export interface RunOptions {
  readonly image: string;
  /** How it comes into the store; without it, it must be there. */
  readonly obtain?: ObtainOptions;
  readonly name?: string | undefined;
  readonly container: ContainerOptions;
}

/** Makes a container's directory, whole. */
export function createContainer(
  store: Store,
  containers: ContainerStore,
  image: Image,
  { image: reference, name, container: options }: RunOptions,
  state: ContainerState,
): Container {
  const { mounts, network, process } = options;
  const args = commandOf(process, image);
  if (args.length === 0) throw new Error(`image ${reference} has no command: say which one to run after its name`);
  const { id: imageId, layers } = image;
  const wanted = { name, image: reference, imageId, layers, args, process: processOf(process, image), options };
  return containers.create(wanted, state, (container) => {
    store.hold(image, container.id);
    const hostname = hostnameOf(process, container.id);
    writeLiveFiles(container.files, { hostname, hostNetwork: network.mode === 'host' });
    createInitLayer(toBytes(container.init), toBytes(container.upper), layers, mountPoints(mounts));
  });
}

/** What the init layer must have for the mounts; what lies in another mount is made there. */
function mountPoints({ volumes, readOnly }: MountOptions): MountPoint[] {
  const ownMounts = ['/dev', '/sys'].map((destination) => ({ source: '', destination, readOnly }));
  const points = volumes.filter((volume) => {
    const others = volumes.filter((other) => other !== volume);
    return !isCovered(volume.destination, [...ownMounts, ...others]);
  });
  const temporaries = readOnly ? ['/run', '/tmp', '/var/tmp'] : [];
  return [
    ...points.map(({ source, destination }) => ({ path: toBytes(destination), isDirectory: isDirectory(source) })),
    ...temporaries.map((path) => ({ path, isDirectory: true })),
  ];
}

function isDirectory(path: string): boolean {
  return statSync(path).isDirectory();
}
