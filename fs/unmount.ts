import { unmountByHelper } from './fuse/fusermount.ts';
import { MOUNT_TYPE } from './fuse/options.ts';
import { resolveMounted } from './mountpoint.ts';
import { forgetMount, readRegistry, type RegisteredMount } from './registry.ts';
import { runAside } from './run-aside.ts';
import { type RunProgram, runProgram } from './sys/run-program.ts';
import { type ByteString, toText } from './sys/text.ts';
import { MNT_DETACH, O_CLOEXEC, O_PATH, UMOUNT_NOFOLLOW } from './sys/constants.ts';
import { describeErrno, EBUSY, EINVAL, EPERM } from './sys/errno.ts';
import { close, openat } from './sys/file.ts';
import { umountAsync } from './sys/mount.ts';
import { mountAt } from './sys/mountinfo.ts';

/** How an attempt to unmount ended. */
type Unmounted = 'done' | 'busy';

/** Unmounts what is on `path`, by ourselves or through fusermount3; the daemon goes on answering meanwhile. */
async function detach(path: ByteString, lazy: boolean, run: RunProgram): Promise<Unmounted> {
  const status = await umountAsync(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0));
  // EINVAL: nothing is mounted there any longer.
  if (status === 0 || status === -EINVAL) return 'done';
  if (status === -EBUSY) return 'busy';
  if (status !== -EPERM) throw new Error(`cannot unmount ${toText(path)}: ${describeErrno(status)}`);
  const complaint = await unmountByHelper(path, lazy, run);
  if (complaint === undefined) return 'done';
  if (/busy/i.test(complaint)) return 'busy';
  throw new Error(`cannot unmount ${toText(path)}: ${complaint}`);
}

/**
 * Unmounts for good what this process serves, lazily where others use the mount: what they have changed in mappings is
 * written before. This thread waits for nothing that the mount has to answer.
 */
export async function detachForGood(path: ByteString): Promise<void> {
  if ((await detach(path, false, runAside)) === 'done') return;
  await syncAside(path);
  await detach(path, true, runAside);
}

/**
 * syncfs(2) by a process of its own: a thread of the daemon that waits for the daemon's answers holds the device, so that
 * both would wait for ever where the daemon is killed meanwhile.
 */
async function syncAside(path: ByteString): Promise<void> {
  // Opened so, it asks the filesystem for nothing.
  const mount = openat(-1, path, O_PATH | O_CLOEXEC, 0);
  if (mount < 0) return;
  await runAside({ file: 'sync', parameters: ['-f', '/proc/self/fd/3'], descriptor: mount });
  close(mount);
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
  if ((await detach(mountpoint, lazy || dead, runProgram)) === 'busy') {
    throw new Error(`${toText(path)} is in use: end what uses it (fuser -vm ${toText(path)}), or lamina umount --lazy`);
  }
  if (state === undefined) return;
  if (dead) forgetMount(state);
  else if (!lazy) await waitForEnd(state, END_MILLISECONDS);
}
