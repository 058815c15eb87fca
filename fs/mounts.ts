import { requestStats } from './control.ts';
import { MOUNT_TYPE } from './fuse/options.ts';
import { resolveMounted } from './mountpoint.ts';
import { forgetMount, readRegistry, type RegisteredMount } from './registry.ts';
import type { MountStats } from './stats.ts';
import { type ByteString, toText } from './sys/text.ts';
import { readMounts } from './sys/mountinfo.ts';

/**
 * This user's mounts. A mount whose daemon has died is listed while it is still there, to be unmounted; what is left of
 * others is removed.
 */
export function listMounts(): RegisteredMount[] {
  const present = new Set(
    readMounts()
      .filter((mount) => mount.type === MOUNT_TYPE)
      .map((mount) => `${mount.device} ${mount.mountpoint}`),
  );
  return readRegistry().filter((mount) => {
    if (mount.alive || present.has(`${mount.device} ${mount.mountpoint}`)) return true;
    forgetMount(mount);
    return false;
  });
}

/** The counters of the mount on `path`. */
export async function statsAt(path: ByteString): Promise<MountStats> {
  const mountpoint = resolveMounted(path);
  const mount = listMounts().findLast((other) => other.mountpoint === mountpoint);
  if (mount === undefined) throw new Error(`${toText(path)} is not a lamina mount (lamina mounts lists them)`);
  if (!mount.alive) throw new Error(`the daemon of ${toText(path)} has died: lamina umount ${toText(path)}`);
  return requestStats(mount.socket);
}
