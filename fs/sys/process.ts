import { type ByteString, firstPath } from './bytes.ts';
import { fcntl } from './fcntl.ts';
import { bind, result, syscallNumber } from './libc.ts';
import { Memory } from './memory.ts';

// What a process is made of, as far as Node has no call for it. System calls that libc would spread over all threads
// (setresuid and its kin) are made raw, for the calling thread alone: execve keeps that one's credentials.

const nativeExecve = bind('int execve(uintptr_t path, uintptr_t argv, uintptr_t envp)');
const nativeCloseRange = bind('long syscall(long number, uint32_t first, uint32_t last, uint32_t flags)');
const nativePipe2 = bind('int pipe2(uintptr_t fds, int flags)');
const nativePrctl = bind('int prctl(int option, ulong second, ulong third, ulong fourth, ulong fifth)');
const nativeSetresid = bind('long syscall(long number, uint32_t real, uint32_t effective, uint32_t saved)');
const nativeSetgroups = bind('long syscall(long number, size_t count, uintptr_t list)');
const nativeKeyctl = bind('long syscall(long number, int operation, uintptr_t argument)');
const nativeFchdir = bind('int fchdir(int fd)');
const nativeChroot = bind('int chroot(uintptr_t path)');
const nativeSignal = bind('intptr_t signal(int signal, intptr_t handler)');
const nativeSigprocmask = bind('int sigprocmask(int how, uintptr_t set, uintptr_t old)');
const nativeFaccessat = bind('int faccessat(int dirfd, uintptr_t path, int mode, int flags)');

/** A NULL-terminated array of C strings, as execve(2) takes; lives as long as the object. */
export class StringArray {
  readonly address: number;
  readonly #strings: Memory;
  readonly #pointers: Memory;

  constructor(strings: readonly ByteString[]) {
    const text = strings.map((string) => `${string}\0`).join('');
    this.#strings = new Memory(Math.max(1, text.length));
    this.#strings.bytes.write(text, 'latin1');
    this.#pointers = new Memory((strings.length + 1) * 8);
    let at = this.#strings.address;
    strings.forEach((string, index) => {
      this.#pointers.view.setBigUint64(index * 8, BigInt(at), true);
      at += string.length + 1;
    });
    this.address = this.#pointers.address;
  }
}

/** execve(2), prepared: all that it needs is in memory before, so that it makes no other system call. */
export class Execution {
  readonly #path: Memory;
  readonly #argv: StringArray;
  readonly #env: StringArray;

  constructor(path: ByteString, argv: readonly ByteString[], env: readonly ByteString[]) {
    this.#path = new Memory(path.length + 1);
    this.#path.bytes.write(path, 'latin1');
    this.#argv = new StringArray(argv);
    this.#env = new StringArray(env);
  }

  /** Answers only where it fails, a negative errno. */
  execute(): number {
    return result(nativeExecve(this.#path.address, this.#argv.address, this.#env.address));
  }
}

/** execve(2): answers only where it fails, a negative errno. */
export function execve(path: ByteString, argv: readonly ByteString[], env: readonly ByteString[]): number {
  return new Execution(path, argv, env).execute();
}

const SYS_CLOSE_RANGE = syscallNumber('close_range');
export const CLOSE_RANGE_CLOEXEC = 4;

/** close_range(2), Linux 5.9; from `first` to the last. */
export function closeRange(first: number, flags: number): number {
  return result(nativeCloseRange(SYS_CLOSE_RANGE, first, 0xffffffff, flags));
}

const F_SETFD = 2;
const F_DUPFD_CLOEXEC = 1030;
const FD_CLOEXEC = 1;

export function setCloseOnExec(fd: number, on: boolean): number {
  return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0);
}

/** Another descriptor for what `fd` is open on, close-on-exec and with no number below `least`: none of the standard ones. */
export function duplicate(fd: number, least = 3): number {
  return fcntl(fd, F_DUPFD_CLOEXEC, least);
}

const pipeFds = new Memory(8);

/** pipe2(2): the two ends, or a negative errno. */
export function pipe2(flags: number): { readonly readEnd: number; readonly writeEnd: number } | number {
  const made = result(nativePipe2(pipeFds.address, flags));
  if (made < 0) return made;
  return { readEnd: pipeFds.view.getInt32(0, true), writeEnd: pipeFds.view.getInt32(4, true) };
}

// linux/prctl.h
export const PR_SET_PDEATHSIG = 1;
export const PR_SET_DUMPABLE = 4;
export const PR_SET_KEEPCAPS = 8;
export const PR_CAPBSET_DROP = 24;
export const PR_SET_NO_NEW_PRIVS = 38;
export const PR_CAP_AMBIENT = 47;
export const PR_CAP_AMBIENT_RAISE = 2;
export const PR_CAP_AMBIENT_CLEAR_ALL = 4;

export function prctl(option: number, argument: number, third = 0): number {
  return result(nativePrctl(option, argument, third, 0, 0));
}

export function setresuid(uid: number): number {
  return result(nativeSetresid(syscallNumber('setresuid'), uid, uid, uid));
}

export function setresgid(gid: number): number {
  return result(nativeSetresid(syscallNumber('setresgid'), gid, gid, gid));
}

export function setgroups(groups: readonly number[]): number {
  const list = new Memory(Math.max(4, groups.length * 4));
  groups.forEach((gid, index) => list.view.setUint32(index * 4, gid, true));
  return result(nativeSetgroups(syscallNumber('setgroups'), groups.length, list.address));
}

const KEYCTL_JOIN_SESSION_KEYRING = 1;

/** Leaves the caller's session keyring for a new one, so that its keys cannot be read. */
export function joinNewSessionKeyring(): number {
  return result(nativeKeyctl(syscallNumber('keyctl'), KEYCTL_JOIN_SESSION_KEYRING, 0));
}

export function fchdir(fd: number): number {
  return result(nativeFchdir(fd));
}

export function chroot(path: ByteString): number {
  return result(nativeChroot(firstPath(path)));
}

const SIG_DFL = 0;
const SIG_SETMASK = 2;
const SIGNALS = 64;
const emptySet = new Memory(128);

/** Gives every signal its default disposition and blocks none: what a program expects of the one that starts it. */
export function resetSignals(): void {
  for (let signal = 1; signal <= SIGNALS; signal += 1) nativeSignal(signal, SIG_DFL);
  nativeSigprocmask(SIG_SETMASK, emptySet.address, 0);
}

export const X_OK = 1;
export const W_OK = 2;
const AT_EACCESS = 0x200;

/** faccessat(2) with the effective ids. */
export function access(dirfd: number, path: ByteString, mode: number): number {
  return result(nativeFaccessat(dirfd, firstPath(path), mode, AT_EACCESS));
}
