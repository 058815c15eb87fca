import { open } from 'node:fs/promises';
import { unmountByHelper } from './fuse/fusermount.ts';
import { MOUNT_TYPE } from './fuse/options.ts';
import { resolveMounted } from './mountpoint.ts';
import { forgetMount, readRegistry, type RegisteredMount } from './registry.ts';
import { type ByteString, toText } from './sys/text.ts';
import { MNT_DETACH, UMOUNT_NOFOLLOW } from './sys/constants.ts';
import { describeErrno, EBUSY, EINVAL, EPERM } from './sys/errno.ts';
import { syncfsAsync, umountAsync } from './sys/mount.ts';
import { mountAt } from './sys/mountinfo.ts';

/** How an attempt to unmount ended. */
type Unmounted = 'done' | 'busy';

/** Unmounts what is on `path`, by ourselves or through fusermount3; the daemon goes on answering meanwhile. */
async function detach(path: ByteString, lazy: boolean): Promise<Unmounted> {
  const status = await umountAsync(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0));
  // EINVAL: nothing is mounted there any longer.
  if (status === 0 || status === -EINVAL) return 'done';
  if (status === -EBUSY) return 'busy';
  if (status !== -EPERM) throw new Error(`cannot unmount ${toText(path)}: ${describeErrno(status)}`);
  const complaint = await unmountByHelper(path, lazy);
  if (complaint === undefined) return 'done';
  if (/busy/i.test(complaint)) return 'busy';
  throw new Error(`cannot unmount ${toText(path)}: ${complaint}`);
}

/** Unmounts for good, lazily where others use the mount: what they have changed in mappings is written before. */
export async function detachForGood(path: ByteString): Promise<void> {
  if ((await detach(path, false)) === 'done') return;
  const root = await open(Buffer.from(path, 'latin1'), 'r').catch(() => undefined);
  if (root !== undefined) await syncfsAsync(root.fd).finally(() => root.close());
  await detach(path, true);
}

const POLL_MILLISECONDS = 10;
const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Waits for a daemon's end, so that its layers are free when we answer; not for ever, others may still use the mount. */
async function waitForEnd(mount: RegisteredMount, milliseconds: number): Promise<void> {
  const deadline = Date.now() + milliseconds;
  while (Date.now() < deadline) {
    if (!readRegistry().some((other) => other.file === mount.file && other.alive)) return;
    await sleep(POLL_MILLISECONDS);
  }
}

const END_MILLISECONDS = 5000;

/**
 * Unmounts the lamina mount on `path`, and cleans up after a daemon that has died.
 * @param lazy detach it though it is in use.
 */
export async function unmountAt(path: ByteString, lazy = false): Promise<void> {
  const mountpoint = resolveMounted(path);
  const mount = mountAt(mountpoint);
  if (mount?.type !== MOUNT_TYPE) throw new Error(`${toText(path)} is not a lamina mount (lamina mounts lists them)`);
  const state = readRegistry().findLast((other) => other.device === mount.device && other.mountpoint === mountpoint);
  // Nobody can use a mount without a daemon: whatever holds it cannot be waited for.
  const dead = state !== undefined && !state.alive;
  if ((await detach(mountpoint, lazy || dead)) === 'busy') {
    throw new Error(`${toText(path)} is in use: end what uses it (fuser -vm ${toText(path)}), or lamina umount --lazy`);
  }
  if (state === undefined) return;
  if (dead) forgetMount(state);
  else if (!lazy) await waitForEnd(state, END_MILLISECONDS);
}
