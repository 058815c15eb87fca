import { statfsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { toBytes } from '../../fs/index.ts';
import { MNT_DETACH, UMOUNT_NOFOLLOW } from '../../fs/sys/constants.ts';
import { umount } from '../../fs/sys/mount.ts';
import { mountAt } from '../../fs/sys/mountinfo.ts';
import { type Container } from './container.ts';

// How long another command may hold the mount, such as one that has just been interrupted, whose daemon unmounts.
const PATIENCE_MILLISECONDS = 5000;
const POLL_MILLISECONDS = 20;

/** Waits for another command's mount to go, and takes away one whose daemon was killed. */
export async function clearMountpoint({ merged, config: { name } }: Container): Promise<void> {
  const deadline = Date.now() + PATIENCE_MILLISECONDS;
  for (let at = mountAt(toBytes(merged)); at !== undefined; at = mountAt(toBytes(merged))) {
    // No other command mounts by the kernel: a killed supervisor left that.
    if (!at.type.startsWith('fuse') || !isAnswering(merged)) umount(toBytes(merged), MNT_DETACH | UMOUNT_NOFOLLOW);
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
