import { copyBytes, Memory } from '../sys/memory.ts';
import { getAddress, peek, putAddress } from '../sys/foreign-memory.ts';
import { pageSize, robustList, threadIds } from '../sys/thread.ts';

// fuse-native leaves out what libfuse could do: operations that it has no handler for, flags, and who asks. All of it lies
// in libfuse's own structures, which are reached from fuse-native's. Their layout is libfuse 2.9's, which nobody promises:
// everything that can be known of their content is checked before anything is changed, by reads that cannot fault.

/** Offsets in fuse-native's `fuse_thread_t`. */
const THREAD = { fuse: 368, size: 2640 } as const;

/** libfuse's `struct fuse_operations`, a word of 8 bytes each; `flags` is no function. */
const OPERATIONS = [
  ...['getattr', 'readlink', 'getdir', 'mknod', 'mkdir', 'unlink', 'rmdir', 'symlink', 'rename', 'link', 'chmod'],
  ...['chown', 'truncate', 'utime', 'open', 'read', 'write', 'statfs', 'flush', 'release', 'fsync', 'setxattr'],
  ...['getxattr', 'listxattr', 'removexattr', 'opendir', 'readdir', 'releasedir', 'fsyncdir', 'init', 'destroy'],
  ...['access', 'create', 'ftruncate', 'fgetattr', 'lock', 'utimens', 'bmap', 'flags', 'ioctl', 'poll', 'write_buf'],
  ...['read_buf', 'flock', 'fallocate'],
] as const;

/** `struct fuse_fs`: the operations, a module, and what `fuse_new` was given, fuse-native's `fuse_thread_t`. */
const FS = {
  module: 8 * OPERATIONS.length,
  userData: 8 * OPERATIONS.length + 8,
  size: 8 * OPERATIONS.length + 16,
} as const;

/** `struct fuse`: the session; somewhere in it the `struct fuse_fs`, and what follows that pointer. */
const FUSE = { session: 0, leastRecentlyUsed: 72, hiddenCounter: 100, searched: 512 } as const;
const BEHIND_FS = { nullPathOk: 8, utimeOmitOk: 12, lockQueue: 16, pageSize: 24, size: 28 } as const;

/** `struct fuse_session`, and the `struct fuse_ll` to which it points. */
const SESSION = { data: 48, size: 56 } as const;
const LOW_LEVEL = { userData: 392, protocol: 404, capable: 424, want: 428, size: 432 } as const;

const PROTOCOL = 7;
const CAPABLE = { dontMask: 1 << 6, ioctlDirectories: 1 << 11 } as const;

/** `struct fuse_context`. */
const CONTEXT = { fuse: 0, uid: 8, gid: 12, pid: 16, privateData: 24, umask: 32, size: 40 } as const;

// Of glibc's `struct pthread`: the list of robust mutexes stands shortly before the first block of a thread's own data,
// pairs of words of which the second is the datum.
const NEAR = 2048;
const PAIR = 16;

/** The operations that C code is to call, by their names in `struct fuse_operations`. */
export type Functions = ReadonlyMap<string, number>;

const words = new Memory(NEAR);
const checked = new Memory(FS.size);

/** Reads a whole structure; false where there is none. */
function read(to: Memory, address: number, size: number): boolean {
  return address > 0 && peek(to, address, size) === size;
}

function put32(address: number, value: number): void {
  words.view.setUint32(0, value, true);
  copyBytes(address, words.address, 4);
}

function putPointer(address: number, value: number): void {
  putAddress(words.view, 0, value);
  copyBytes(address, words.address, 8);
}

/** What libfuse keeps for one mount. */
export class FuseInstance {
  /** Address of fuse-native's structure. */
  readonly #thread: number;
  readonly #fuse: number;
  readonly #fs: number;
  /** Address of the pointer to `#fs`. */
  readonly #fsPointer: number;
  readonly #lowLevel: number;

  private constructor(thread: number, fuse: number, fs: number, fsPointer: number, lowLevel: number) {
    this.#thread = thread;
    this.#fuse = fuse;
    this.#fs = fs;
    this.#fsPointer = fsPointer;
    this.#lowLevel = lowLevel;
  }

  /**
   * To be called while the session begins. Undefined where anything is not as we know it.
   * @param thread fuse-native's structure for the mount.
   * @param implemented names of the operations that fuse-native has given to libfuse.
   */
  static find(thread: Memory, implemented: ReadonlySet<string>): FuseInstance | undefined {
    if (thread.size !== THREAD.size) return undefined;
    const fuse = getAddress(thread.view, THREAD.fuse);
    const lowLevel = findLowLevel(fuse);
    if (lowLevel === 0 || !read(words, fuse, FUSE.searched)) return undefined;
    // An empty list, the field before the counters.
    if (getAddress(words.view, FUSE.leastRecentlyUsed) !== fuse + FUSE.leastRecentlyUsed) return undefined;
    const candidates = Array.from({ length: FUSE.searched / 8 - 4 }, (_, index) => getAddress(words.view, index * 8));
    const at = candidates.findIndex((address) => isFs(address, thread.address, implemented));
    const fsPointer = fuse + at * 8;
    if (at < 0 || !isBehindFs(fsPointer)) return undefined;
    return new FuseInstance(thread.address, fuse, candidates[at] ?? 0, fsPointer, lowLevel);
  }

  /**
   * Has libfuse call functions of ours besides fuse-native's: those without a path too, for what is open and has been
   * removed, and utimens for one time alone; and the kernel leave the umask to us.
   */
  extend(functions: Functions): void {
    for (const [name, address] of functions) {
      putPointer(this.#fs + 8 * OPERATIONS.findIndex((operation) => operation === name), address);
    }
    put32(this.#fsPointer + BEHIND_FS.nullPathOk, 1);
    put32(this.#fsPointer + BEHIND_FS.utimeOmitOk, 1);
    read(checked, this.#lowLevel + LOW_LEVEL.capable, 8);
    const capable = checked.view.getUint32(0, true);
    const want = checked.view.getUint32(4, true);
    put32(this.#lowLevel + LOW_LEVEL.want, want | (capable & (CAPABLE.dontMask | CAPABLE.ioctlDirectories)));
  }

  /** Counts the open files that libfuse has removed. */
  hiddenCounter(): number {
    copyBytes(words.address, this.#fuse + FUSE.hiddenCounter, 4);
    return words.view.getUint32(0, true);
  }

  /**
   * Address of the `struct fuse_context` that libfuse keeps for each of its threads, filled anew for each request: 0
   * where it is not found.
   * @param own what fuse-native keeps for the same thread: the only thing that we know of it.
   */
  findContext(own: number): { readonly context: number; readonly thread: number } {
    for (const thread of threadIds()) {
      const context = this.#contextOf(thread, own);
      if (context !== 0) return { context, thread };
    }
    return { context: 0, thread: 0 };
  }

  #contextOf(thread: number, own: number): number {
    const length = peek(words, robustList(thread), NEAR);
    let at = 0;
    while (at + 8 <= length && getAddress(words.view, at) !== own) at += 8;
    if (at + 8 > length) return 0;
    for (let other = at % PAIR; other + 8 <= length; other += PAIR) {
      const address = getAddress(words.view, other);
      if (address !== own && this.#isContext(address)) return address;
    }
    return 0;
  }

  #isContext(address: number): boolean {
    if (!read(checked, address, CONTEXT.size)) return false;
    const { view } = checked;
    return getAddress(view, CONTEXT.fuse) === this.#fuse && getAddress(view, CONTEXT.privateData) === this.#thread;
  }
}

/** The `struct fuse_ll` of a `struct fuse`, 0 where there is none that we know. */
function findLowLevel(fuse: number): number {
  if (!read(checked, fuse, 8)) return 0;
  if (!read(checked, getAddress(checked.view, FUSE.session), SESSION.size)) return 0;
  const lowLevel = getAddress(checked.view, SESSION.data);
  if (!read(words, lowLevel, LOW_LEVEL.size)) return 0;
  const { view } = words;
  const isKnown =
    getAddress(view, LOW_LEVEL.userData) === fuse && view.getUint32(LOW_LEVEL.protocol, true) === PROTOCOL;
  return isKnown ? lowLevel : 0;
}

function isFs(address: number, thread: number, implemented: ReadonlySet<string>): boolean {
  if (!read(checked, address, FS.size)) return false;
  const { view } = checked;
  if (getAddress(view, FS.userData) !== thread || getAddress(view, FS.module) !== 0) return false;
  return OPERATIONS.every((name, index) => (getAddress(view, index * 8) !== 0) === implemented.has(name));
}

function isBehindFs(pointer: number): boolean {
  if (!read(checked, pointer, BEHIND_FS.size)) return false;
  const { view } = checked;
  return (
    getAddress(view, BEHIND_FS.nullPathOk) === 0 &&
    getAddress(view, BEHIND_FS.lockQueue) === 0 &&
    view.getUint32(BEHIND_FS.pageSize, true) === pageSize()
  );
}

const asked = new Memory(CONTEXT.size);

/** Who asks, of a context that was found. */
export function readContext(address: number, caller: { uid: number; gid: number; pid: number; umask: number }): void {
  copyBytes(asked.address, address, CONTEXT.size);
  const { view } = asked;
  caller.uid = view.getUint32(CONTEXT.uid, true);
  caller.gid = view.getUint32(CONTEXT.gid, true);
  caller.pid = view.getInt32(CONTEXT.pid, true);
  caller.umask = view.getUint32(CONTEXT.umask, true);
}
