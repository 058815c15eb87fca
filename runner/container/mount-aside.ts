import { statfsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AttendedMount, mountAttended, toBytes } from '../../fs/index.ts';
import { MNT_DETACH, UMOUNT_NOFOLLOW } from '../../fs/sys/constants.ts';
import { umount } from '../../fs/sys/mount.ts';
import { mountAt } from '../../fs/sys/mountinfo.ts';
import { type Container } from './container.ts';
import { unionOf } from './union.ts';

/**
 * Mounts the filesystem of a container that does not run, on the place where it is when it runs, for this process to use
 * until it unmounts it or ends.
 *
 * Call it where `enterUserNamespace` has been.
 */
export async function mountAside(container: Container, use: 'read' | 'write'): Promise<AttendedMount> {
  await clearMountpoint(container);
  return mountAttended({
    mountpoint: toBytes(container.merged),
    overlay: unionOf(container),
    fuse: { fsname: 'lamina', dev: false, readOnly: use === 'read' },
  });
}

// How long another command may hold the mount, such as one that has just been interrupted, whose daemon unmounts.
const PATIENCE_MILLISECONDS = 5000;
const POLL_MILLISECONDS = 20;

/** Waits for another command's mount to go, and takes away one whose daemon was killed. */
async function clearMountpoint({ merged, config: { name } }: Container): Promise<void> {
  const deadline = Date.now() + PATIENCE_MILLISECONDS;
  while (mountAt(toBytes(merged)) !== undefined) {
    if (!isAnswering(merged)) umount(toBytes(merged), MNT_DETACH | UMOUNT_NOFOLLOW);
    else if (Date.now() < deadline) await sleep(POLL_MILLISECONDS);
    else
      throw new Error(`the filesystem of container ${name} is mounted by another command: try again when it has ended`);
  }
}

// statfs(2), for the attributes of the root may be kept by the kernel beyond the daemon's end.
function isAnswering(path: string): boolean {
  try {
    statfsSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOTCONN';
  }
}
