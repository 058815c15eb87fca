import { type ByteString } from './bytes.ts';
import { EINTR } from './errno.ts';
import { close } from './file.ts';
import { bind, result } from './libc.ts';
import { Memory } from './memory.ts';
import { StringArray, duplicate } from './process.ts';

// Node's own spawn forks, and what this process writes after that is copied page by page: with its streams and events it
// takes 4 ms of a container's start, in which the thread does nothing else. posix_spawn(3) shares the memory until the
// execve.

const nativeSpawn = bind(
  'int posix_spawn(uintptr_t pid, uintptr_t path, uintptr_t actions, uintptr_t attributes, uintptr_t argv, uintptr_t env)',
);
const nativeInitActions = bind('int posix_spawn_file_actions_init(uintptr_t actions)');
const nativeAddDup2 = bind('int posix_spawn_file_actions_adddup2(uintptr_t actions, int from, int to)');
const nativeDestroyActions = bind('int posix_spawn_file_actions_destroy(uintptr_t actions)');
const nativeInitAttributes = bind('int posix_spawnattr_init(uintptr_t attributes)');
const nativeSetFlags = bind('int posix_spawnattr_setflags(uintptr_t attributes, short flags)');
const nativeSetDefaults = bind('int posix_spawnattr_setsigdefault(uintptr_t attributes, uintptr_t set)');
const nativeWaitpid = bind('int waitpid(int pid, uintptr_t status, int options)');

// spawn.h of glibc and musl. The mask that is set is the empty one of posix_spawnattr_init.
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;

/** More than either structure takes: 80 and 336 bytes. */
const STRUCTURE_SIZE = 512;
const SIGSET_SIZE = 128;

/** What is to be executed. */
export interface Spawning {
  readonly path: ByteString;
  readonly argv: readonly ByteString[];
  readonly env: readonly ByteString[];
  /** Descriptors that become its descriptors 0 and up. It has no others: all of ours are closed on exec. */
  readonly files: readonly number[];
}

/**
 * Starts a process in a session of its own, with every signal as it is by default and none blocked. It is this thread's
 * child, to be waited for by `reap`.
 *
 * @returns its pid, or a negative errno: that of what could not be done, execve(2) included.
 */
export function spawnProcess({ path, argv, env, files }: Spawning): number {
  // None is overwritten by another's number, and what they are copies of is closed on exec.
  const copies = files.map((fd) => duplicate(fd, files.length));
  try {
    const failed = copies.find((fd) => fd < 0);
    return failed ?? spawnWith(path, argv, env, copies);
  } finally {
    for (const fd of copies) if (fd >= 0) close(fd);
  }
}

function spawnWith(
  path: ByteString,
  argv: readonly ByteString[],
  env: readonly ByteString[],
  files: readonly number[],
): number {
  const pid = new Memory(4);
  const program = new Memory(path.length + 1);
  program.bytes.write(path, 'latin1');
  const actions = new Memory(STRUCTURE_SIZE);
  const failed = nativeInitActions(actions.address);
  if (failed !== 0) return -failed;
  try {
    for (const [to, from] of files.entries()) {
      const added = nativeAddDup2(actions.address, from, to);
      if (added !== 0) return -added;
    }
    const [given, environment, attributes] = [new StringArray(argv), new StringArray(env), attributesOf()];
    const errno = nativeSpawn(
      pid.address,
      program.address,
      actions.address,
      attributes.address,
      given.address,
      environment.address,
    );
    return errno === 0 ? pid.view.getInt32(0, true) : -errno;
  } finally {
    nativeDestroyActions(actions.address);
  }
}

function attributesOf(): Memory {
  const attributes = new Memory(STRUCTURE_SIZE);
  const all = new Memory(SIGSET_SIZE);
  all.bytes.fill(0xff);
  nativeInitAttributes(attributes.address);
  nativeSetDefaults(attributes.address, all.address);
  nativeSetFlags(attributes.address, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
  return attributes;
}

/** How a process ended: by itself, or by a signal. */
export type WaitStatus = { readonly exitCode: number } | { readonly signal: number };

const WNOHANG = 1;
const status = new Memory(4);

/**
 * waitpid(2) with WNOHANG: how a child of this process ended, whose pid is free for others from then on; undefined while it
 * runs; a negative errno where there is no such child.
 */
export function reap(pid: number): WaitStatus | undefined | number {
  let found = -EINTR;
  while (found === -EINTR) found = result(nativeWaitpid(pid, status.address, WNOHANG));
  if (found <= 0) return found === 0 ? undefined : found;
  const word = status.view.getInt32(0, true);
  const signal = word & 0x7f;
  return signal === 0 ? { exitCode: (word >> 8) & 0xff } : { signal };
}
