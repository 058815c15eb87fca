import { type ContainerMount } from './container-mount.ts';
import { VolumeStore } from './volume-store.ts';

/**
 * Removes the volumes that were made for a container alone, after it: those that another has taken over stay.
 *
 * @param mounts the container's.
 */
export function removeAnonymousVolumes(storeRoot: string, mounts: readonly ContainerMount[]): void {
  const volumes = new VolumeStore(storeRoot);
  for (const mount of mounts) {
    if (mount.type !== 'volume' || mount.isAnonymous !== true || mount.name === undefined) continue;
    const volume = volumes.find(mount.name);
    if (volume !== undefined && volumes.usersOf(volume).length === 0) volumes.remove(volume);
  }
}
