import { type ByteString, firstPath } from './bytes.ts';
import { bind, bindAsync, result } from './libc.ts';

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
