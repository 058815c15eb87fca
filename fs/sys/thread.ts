import { readdirSync } from 'node:fs';
import { getPriority } from 'node:os';
import { type ByteString, firstPath } from './bytes.ts';
import { getAddress } from './foreign-memory.ts';
import { bind, bindAsync, result, syscallNumber } from './libc.ts';
import { Memory } from './memory.ts';

const nativeUnshare = bind('int unshare(int flags)');
const nativeChdir = bind('int chdir(uintptr_t path)');
const nativePageSize = bind('int getpagesize()');

const CLONE_FS = 0x200;

/** Gives the calling thread a umask and a working directory of its own, which the threads of a process share. */
export function leaveSharedDirectory(): number {
  return result(nativeUnshare(CLONE_FS));
}

/** chdir(2): of the calling thread alone after `leaveSharedDirectory`. */
export function chdir(path: ByteString): number {
  return result(nativeChdir(firstPath(path)));
}

const joinOnPool = bindAsync('int pthread_join(uintptr_t thread, uintptr_t value)');

/** pthread_join(3) on a thread of libuv's pool: resolves when another library's thread has ended. */
export async function joinThread(thread: number): Promise<void> {
  await joinOnPool(thread, 0);
}

export function pageSize(): number {
  return nativePageSize();
}

const nativeUsage = bind('int getrusage(int who, uintptr_t usage)');
const RUSAGE_SELF = 0;
const RUSAGE_THREAD = 1;
const usage = new Memory(144);
const INBLOCK = 88;

/** Blocks of 512 bytes that the calling thread has had read from disks. */
export function blocksRead(): number {
  return blocksOf(RUSAGE_THREAD);
}

/** ... and that all threads of this process have. */
export function blocksReadByProcess(): number {
  return blocksOf(RUSAGE_SELF);
}

function blocksOf(who: number): number {
  return nativeUsage(who, usage.address) < 0 ? 0 : usage.view.getUint32(INBLOCK, true);
}

/** Thread ids of this process. */
export function threadIds(): number[] {
  return readdirSync('/proc/self/task').map(Number);
}

const nativeRobustList = bind('long syscall(long number, int thread, uintptr_t head, uintptr_t length)');
const nativeKill = bind('int tgkill(int process, int thread, int signal)');
const SYS_ROBUST_LIST = syscallNumber('get_robust_list');
const answer = new Memory(16);

/** get_robust_list(2): an address in what the C library keeps for a thread of this process; a negative errno. */
export function robustList(thread: number): number {
  const status = result(nativeRobustList(SYS_ROBUST_LIST, thread, answer.address, answer.address + 8));
  return status < 0 ? status : getAddress(answer.view, 0);
}

/** Whether a thread of this process has not ended. */
export function isThreadAlive(thread: number): boolean {
  return nativeKill(process.pid, thread, 0) === 0;
}

const nativeSetAttributes = bind('long syscall(long number, int thread, uintptr_t attributes, unsigned int flags)');
const SYS_SCHED_SETATTR = syscallNumber('sched_setattr');
// `struct sched_attr`: its size, the policy, flags, nice, priority, runtime, and times of SCHED_DEADLINE.
const attributes = new Memory(48);
const FLAGS = 8;
const NICE = 16;
const SLICE = 24;
const KEEP_POLICY = 0x08;

/**
 * Asks the scheduler to give the calling thread the processor for so long at a time. Who asks for less gets it sooner when it
 * wakes up, of whoever asked for more (EEVDF, Linux 6.12; kernels before it take no notice). Its share stays as it is.
 *
 * @param nanoseconds 100,000 to 100,000,000; 3,000,000 or so are the kernel's own.
 * @returns 0 or a negative errno: EINVAL of a real-time thread.
 */
export function setTimeSlice(nanoseconds: number): number {
  const { view, size, address } = attributes;
  view.setUint32(0, size, true);
  view.setUint32(FLAGS, KEEP_POLICY, true);
  view.setInt32(NICE, getPriority(0), true);
  view.setUint32(SLICE, nanoseconds, true);
  return result(nativeSetAttributes(SYS_SCHED_SETATTR, 0, address, 0));
}
