import { requestStats } from './control.ts';
import { MOUNT_TYPE } from './fuse/options.ts';
import { resolveMounted } from './mountpoint.ts';
import { forgetMount, readRegistry, type RegisteredMount } from './registry.ts';
import type { MountStats } from './stats.ts';
import { type ByteString, toText } from './sys/text.ts';
import { type MountInfo, readMounts } from './sys/mountinfo.ts';

/**
 * This user's mounts. A mount whose daemon has died is listed while it is still there, to be unmounted; what is left of
 * others is removed.
 */
export function listMounts(): RegisteredMount[] {
  const keyOf = (mount: { device: string; mountpoint: ByteString }): string => `${mount.device} ${mount.mountpoint}`;
  const present = new Set(readMounts().filter(isOurs).map(keyOf));
  // A daemon that is about to end may have been followed on its mount point, even with the same device number.
  const latest = new Map<string, RegisteredMount>();
  for (const mount of readRegistry()) {
    if (mount.alive || present.has(keyOf(mount))) latest.set(keyOf(mount), mount);
    else forgetMount(mount);
  }
  return [...latest.values()];
}

const isOurs = (mount: MountInfo): boolean => mount.type === MOUNT_TYPE;

/** The counters of the mount on `path`. */
export async function statsAt(path: ByteString): Promise<MountStats> {
  const mountpoint = resolveMounted(path);
  const mount = listMounts().findLast((other) => other.mountpoint === mountpoint);
  if (mount === undefined) throw new Error(`${toText(path)} is not a lamina mount (lamina mounts lists them)`);
  if (!mount.alive) throw new Error(`the daemon of ${toText(path)} has died: lamina umount ${toText(path)}`);
  return requestStats(mount.socket);
}
