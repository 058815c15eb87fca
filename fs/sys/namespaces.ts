import { type ByteString, firstPath, secondPath } from './bytes.ts';
import { bind, result, syscallNumber } from './libc.ts';

const nativeUnshare = bind('int unshare(int flags)');
const nativePivotRoot = bind('long syscall(long number, uintptr_t newRoot, uintptr_t putOld)');
const nativeSetns = bind('int setns(int fd, int type)');
const nativePidfdOpen = bind('long syscall(long number, int pid, uint32_t flags)');
const nativeSethostname = bind('int sethostname(uintptr_t name, size_t length)');

// linux/sched.h
export const CLONE_NEWTIME = 0x00000080;
export const CLONE_NEWNS = 0x00020000;
export const CLONE_NEWCGROUP = 0x02000000;
export const CLONE_NEWUTS = 0x04000000;
export const CLONE_NEWIPC = 0x08000000;
export const CLONE_NEWPID = 0x20000000;
export const CLONE_NEWNET = 0x40000000;

/**
 * unshare(2): acts on the calling thread alone, so that a process with several threads may call it for all namespaces
 * but the user's. Call it on the main thread: that is the one that survives execve and whose children are spawned.
 */
export function unshare(flags: number): number {
  return result(nativeUnshare(flags));
}

/**
 * setns(2), for the calling thread alone; of CLONE_NEWPID for the children that it will have. One that shares its
 * working directory with other threads cannot enter a mount namespace.
 *
 * @param fd of a namespace, or a pidfd for several namespaces of a process at once (Linux 5.8).
 */
export function setns(fd: number, flags: number): number {
  return result(nativeSetns(fd, flags));
}

/** pidfd_open(2), Linux 5.3: close-on-exec. */
export function pidfdOpen(pid: number): number {
  return result(nativePidfdOpen(syscallNumber('pidfd_open'), pid, 0));
}

const SYS_PIVOT_ROOT = syscallNumber('pivot_root');

export function pivotRoot(newRoot: ByteString, putOld: ByteString): number {
  return result(nativePivotRoot(SYS_PIVOT_ROOT, firstPath(newRoot), secondPath(putOld)));
}

export function sethostname(name: ByteString): number {
  return result(nativeSethostname(firstPath(name), name.length));
}
