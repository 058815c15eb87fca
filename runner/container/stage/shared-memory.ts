import {
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
} from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close, openat, openat2 } from '../../../fs/sys/file.ts';
import { cloneTreeOf } from '../../../fs/sys/mount-attributes.ts';
import { CLONE_NEWNS, setns } from '../../../fs/sys/namespaces.ts';
import { leaveSharedDirectory } from '../../../fs/sys/thread.ts';
import { type JoinedNamespace, type SharedMemorySpec } from '../spec.ts';
import { TMPFS_MAGIC, filesystemMagic } from './mounting.ts';
import { openNamespace } from './open-namespace.ts';

/** What /dev/shm is to be. */
export interface SharedMemory {
  readonly spec: SharedMemorySpec;
  /** Descriptor of a detached mount of another's. */
  readonly shared: number | undefined;
}

/** Takes a mount of another's /dev/shm, while this thread is in the mount namespace of its caller. */
export function takeSharedMemory(spec: SharedMemorySpec): SharedMemory {
  if (spec.kind !== 'shared') return { spec, shared: undefined };
  return { spec, shared: spec.namespace === undefined ? cloneOwn() : cloneOther(spec.namespace) };
}

// A mount of another namespace cannot be bound, but one that was cloned there can be brought along.
function cloneOther(namespace: JoinedNamespace): number {
  check(leaveSharedDirectory(), 'leave the working directory of the other threads');
  const own = check(openat(-1, '/proc/thread-self/ns/mnt', O_RDONLY | O_CLOEXEC), 'open our own mount namespace');
  const other = openNamespace(namespace);
  check(setns(other, CLONE_NEWNS), "enter the other container's mount namespace");
  try {
    return cloneOwn();
  } finally {
    check(setns(own, CLONE_NEWNS), 'return to our own mount namespace');
    close(other);
    close(own);
  }
}

function cloneOwn(): number {
  const root = check(openat(-1, '/', O_PATH | O_DIRECTORY | O_CLOEXEC), 'open the root of who shares its /dev/shm');
  const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  const directory = check(
    openat2(root, 'dev/shm', O_PATH | O_DIRECTORY | O_CLOEXEC, 0, resolve),
    'open the /dev/shm that is shared',
  );
  close(root);
  // The other container may have put anything in its place.
  if (filesystemMagic(directory) !== TMPFS_MAGIC) throw new Error('the /dev/shm that is to be shared is not a tmpfs');
  const tree = check(cloneTreeOf(directory), 'take the /dev/shm that is shared');
  close(directory);
  return tree;
}
