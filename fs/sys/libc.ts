import { loadKoffi } from './koffi.ts';

const koffi = loadKoffi();

// glibc and musl both answer to one of these; the process has its libc mapped already.
const SONAMES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1'];

function loadLibc(): ReturnType<typeof koffi.load> {
  const failures: string[] = [];
  for (const soname of SONAMES) {
    try {
      return koffi.load(soname);
    } catch (error) {
      failures.push(String(error));
    }
  }
  throw new Error(`cannot load the C library: ${failures.join('; ')}`);
}

const libc = loadLibc();

type Native = (...parameters: (number | bigint | Buffer | null)[]) => number;

/**
 * Binds a C function that answers an integer.
 *
 * @param prototype C declaration; pointers are declared `uintptr_t` and passed as numbers (`Memory.address`).
 */
export function bind(prototype: string): Native {
  return libc.func(prototype) as Native;
}

/** A call on another thread; resolves with its result, or a negative errno. */
type AsyncNative = (...parameters: number[]) => Promise<number>;

/** As `bind`, for a call that may block: it runs on a thread of libuv's pool. Memory it is given must outlive it. */
export function bindAsync(prototype: string): AsyncNative {
  const native = libc.func(prototype);
  return (...parameters) =>
    new Promise((resolve) => {
      native.async(...parameters, (_error: unknown, value: number) => resolve(result(value)));
    });
}

/** Turns libc's convention (-1 and errno) into ours: a negative errno. */
export function result(value: number): number {
  return value === -1 ? -koffi.errno() : value;
}

const AT_FDCWD = -100;

/**
 * Whether what is given as a descriptor is the errno for which there is none. Calls that take a directory answer it, so that
 * EMFILE does not become EBADF; -1 is a descriptor that was never there.
 */
export function isErrno(fd: number): boolean {
  return fd < -1 && fd !== AT_FDCWD;
}

interface SyscallNumbers {
  readonly pivot_root: number;
  readonly setfsuid: number;
  readonly setfsgid: number;
  readonly close_range: number;
  readonly openat2: number;
  readonly fchmodat2: number;
  readonly open_tree: number;
  readonly move_mount: number;
  readonly mount_setattr: number;
  readonly setresuid: number;
  readonly setresgid: number;
  readonly setgroups: number;
  readonly keyctl: number;
  readonly get_robust_list: number;
  readonly bpf: number;
  readonly pidfd_open: number;
  readonly seccomp: number;
  readonly setxattrat: number;
  readonly getxattrat: number;
  readonly listxattrat: number;
  readonly removexattrat: number;
  readonly sched_setattr: number;
  readonly preadv2: number;
  readonly io_setup: number;
  readonly io_destroy: number;
  readonly io_submit: number;
  readonly io_getevents: number;
}

const NUMBERS: Readonly<Record<string, SyscallNumbers>> = {
  x64: {
    pivot_root: 155,
    setfsuid: 122,
    setfsgid: 123,
    close_range: 436,
    openat2: 437,
    fchmodat2: 452,
    open_tree: 428,
    move_mount: 429,
    mount_setattr: 442,
    setresuid: 117,
    setresgid: 119,
    setgroups: 116,
    keyctl: 250,
    get_robust_list: 274,
    bpf: 321,
    pidfd_open: 434,
    seccomp: 317,
    setxattrat: 463,
    getxattrat: 464,
    listxattrat: 465,
    removexattrat: 466,
    sched_setattr: 314,
    preadv2: 327,
    io_setup: 206,
    io_destroy: 207,
    io_submit: 209,
    io_getevents: 208,
  },
  arm64: {
    pivot_root: 41,
    setfsuid: 151,
    setfsgid: 152,
    close_range: 436,
    openat2: 437,
    fchmodat2: 452,
    open_tree: 428,
    move_mount: 429,
    mount_setattr: 442,
    setresuid: 147,
    setresgid: 149,
    setgroups: 159,
    keyctl: 219,
    get_robust_list: 100,
    bpf: 280,
    pidfd_open: 434,
    seccomp: 277,
    setxattrat: 463,
    getxattrat: 464,
    listxattrat: 465,
    removexattrat: 466,
    sched_setattr: 274,
    preadv2: 286,
    io_setup: 0,
    io_destroy: 1,
    io_submit: 2,
    io_getevents: 4,
  },
};

/** Numbers of system calls that libc has no function for; from the kernel's `asm/unistd.h`. */
export function syscallNumber(name: keyof SyscallNumbers): number {
  const numbers = NUMBERS[process.arch];
  if (numbers === undefined) throw new Error(`lamina runs on x64 and arm64, not on ${process.arch}`);
  return numbers[name];
}
