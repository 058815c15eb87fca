import { bind, result } from './libc.ts';
import { Memory } from './memory.ts';

const nativeGetrlimit = bind('int getrlimit64(int resource, uintptr_t limit)');
const nativeSetrlimit = bind('int setrlimit64(int resource, uintptr_t limit)');

export const RLIMIT_NOFILE = 7;

// struct rlimit64: the soft limit, the hard one.
const SOFT = 0;
const HARD = 8;
const limit = new Memory(16);

/** Sets the soft limit, never above the hard one, which stays. */
export function setSoftLimit(resource: number, soft: number): number {
  const read = result(nativeGetrlimit(resource, limit.address));
  if (read < 0) return read;
  const hard = limit.view.getBigUint64(HARD, true);
  const wanted = BigInt(soft);
  limit.view.setBigUint64(SOFT, wanted < hard ? wanted : hard, true);
  return result(nativeSetrlimit(resource, limit.address));
}

/** Sets both limits; RLIM_INFINITY is 2^64 - 1. More than the hard limit needs CAP_SYS_RESOURCE. */
export function setLimit(resource: number, soft: bigint, hard: bigint): number {
  limit.view.setBigUint64(SOFT, soft, true);
  limit.view.setBigUint64(HARD, hard, true);
  return result(nativeSetrlimit(resource, limit.address));
}

// What the kernel allows any process by default (fs.nr_open).
const MOST_OPEN_FILES = 1_048_576n;

// What a shell commonly has.
const POSIX_OPEN_FILES = 1024;

/**
 * Lets this process have as many files open as it may: with CAP_SYS_RESOURCE more than its hard limit says, else as
 * many as that. Where neither can be had, the limit stays.
 */
export function raiseOpenFiles(): void {
  if (result(nativeGetrlimit(RLIMIT_NOFILE, limit.address)) < 0) return;
  const hard = limit.view.getBigUint64(HARD, true);
  if (hard < MOST_OPEN_FILES && setOpenFiles(MOST_OPEN_FILES) === 0) return;
  setOpenFiles(hard);
}

/** How many files this process may have open. */
export function openFilesLimit(): number {
  const read = result(nativeGetrlimit(RLIMIT_NOFILE, limit.address));
  return read < 0 ? POSIX_OPEN_FILES : Number(limit.view.getBigUint64(SOFT, true));
}

function setOpenFiles(most: bigint): number {
  limit.view.setBigUint64(SOFT, most, true);
  limit.view.setBigUint64(HARD, most, true);
  return result(nativeSetrlimit(RLIMIT_NOFILE, limit.address));
}
