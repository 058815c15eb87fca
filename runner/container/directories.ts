import { realpathSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type ByteString } from '../../fs/index.ts';
import { type Image } from '../image/image.ts';
import { hostPlatform } from '../image/platform.ts';
import { type Store } from '../image/store.ts';
import { type Container } from './container.ts';

/** What stands in an image's place in a container that is made of directories: it says nothing of a process. */
export function imageOfDirectories(layers: readonly ByteString[]): Image {
  const none = { manifests: [], names: [], repoDigests: [], history: [], diffIds: [], chainIds: [] };
  return {
    ...none,
    id: NO_IMAGE,
    platform: hostPlatform(),
    created: undefined,
    author: '',
    config: {
      ...{ env: [], entrypoint: [], cmd: [], user: '', workingDir: '', exposedPorts: [], volumes: [], labels: {} },
      stopSignal: undefined,
    },
    unpacked: true,
    layers,
  };
}

const NO_IMAGE = '' as Image['id'];

/** Whether a container is made of directories of the host, and of no image. */
export function isOfDirectories({ config }: Container): boolean {
  return config.imageId === NO_IMAGE;
}

/** The image that a container is made of. */
export function imageOfContainer(store: Store, container: Container): Image {
  return isOfDirectories(container)
    ? imageOfDirectories(container.config.layers)
    : store.resolve(container.config.imageId);
}

/** A directory of the host as a layer: its absolute path. */
export function layerDirectory(path: string): string {
  try {
    const real = realpathSync(resolve(path));
    if (statSync(real).isDirectory()) return real;
  } catch (error) {
    throw new Error(`cannot use ${path} as a layer: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  throw new Error(`cannot use ${path} as a layer: it is no directory`);
}
