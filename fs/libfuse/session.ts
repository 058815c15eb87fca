import { type FileSystem } from '../filesystem.ts';
import { type ByteString } from '../sys/bytes.ts';
import { CAP_SYS_ADMIN, hasCapability } from '../sys/capability.ts';
import { AT_FDCWD, MNT_DETACH, O_CLOEXEC, O_RDWR } from '../sys/constants.ts';
import { describeErrno, EIO } from '../sys/errno.ts';
import { close, openat } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import { umask } from '../sys/metadata.ts';
import { mount, umount } from '../sys/mount.ts';
import { CLOSE_RANGE_CLOEXEC, closeRange } from '../sys/process.ts';
import { captureStandardError } from '../sys/standard-error.ts';
import { joinThread } from '../sys/thread.ts';
import { type LibfuseOptions, libfuseArguments, libfuseMountpoint, PROPAGATION } from './mount-options.ts';
import { Operations } from './operations.ts';
import { type Binding, type NativeHandler } from './package.ts';
import { Request } from './request.ts';

/** libfuse's operations that we implement. The rest answers ENOSYS, which the kernel remembers. */
export type OperationName = Exclude<keyof Operations, never>;

export interface LibfuseSessionOptions {
  readonly mount: LibfuseOptions;
  /** Subtype of the mount's type. */
  readonly type: string;
  readonly count: (operation: OperationName) => void;
  readonly log: (line: string) => void;
}

const DEVICE = '/dev/fuse';
/** Operations that fuse-native has numbers for. */
const OPERATIONS = 35;
/** Offset of the FUSE thread in fuse-native's `fuse_thread_t`. */
const THREAD = 8;

/** Where fuse-native's own decoding has the buffer over the kernel's data, which must be detached before the reply. */
const DATA: Readonly<Partial<Record<OperationName, number>>> = {
  read: 2,
  write: 2,
  setxattr: 2,
  getxattr: 2,
  listxattr: 1,
};

// What native code writes to lives as long as the process: libfuse's threads end when they like.
const pinned: Memory[] = [];

function allocate(size: number): Memory {
  const memory = new Memory(size);
  pinned.push(memory);
  return memory;
}

/** A union that is served through libfuse, on this thread's event loop. */
export class LibfuseSession {
  readonly #binding: Binding;
  readonly #fs: FileSystem;
  readonly #operations: Operations;
  readonly #options: LibfuseSessionOptions;
  readonly #requests = new Map<Buffer, Request>();
  readonly #thread: Memory;
  #begin: (error: Error | undefined) => void = () => undefined;

  constructor(binding: Binding, fs: FileSystem, options: LibfuseSessionOptions) {
    this.#binding = binding;
    this.#fs = fs;
    this.#operations = new Operations(fs);
    this.#options = options;
    this.#thread = allocate(binding.sizeof_fuse_thread_t);
  }

  /**
   * Mounts, and resolves once the kernel has begun the session; the promise in it when the session has ended and the
   * filesystem is closed. Throws, with nothing mounted, where that cannot be.
   */
  async mount(mountpoint: ByteString): Promise<{ readonly ended: Promise<void> }> {
    const path = libfuseMountpoint(mountpoint);
    const { mount: options, type } = this.#options;
    const text = libfuseArguments(options, this.#fs.timeout, type);
    const begun = new Promise<Error | undefined>((resolve) => (this.#begin = resolve));
    const { handlers, implemented } = this.#handlers();
    const allocateRequest = this.#allocate.bind(this);
    const refused: unknown[] = [];
    const said = captureStandardError(() => {
      try {
        this.#binding.fuse_native_mount(path, text, this.#thread.bytes, this, allocateRequest, handlers, implemented);
      } catch (error) {
        refused.push(error);
      }
    });
    if (refused.length > 0) {
      throw new Error(`cannot mount on ${path} through fuse-native: ${reason(said)}`, { cause: refused[0] });
    }
    // libfuse opens its device without O_CLOEXEC.
    closeRange(3, CLOSE_RANGE_CLOEXEC);
    if (options.propagation !== undefined) mount('', mountpoint, '', PROPAGATION[options.propagation]);
    const ended = this.#end(path);
    const failure = await Promise.race([begun, ended.then(() => new Error(`the mount on ${path} ended at once`))]);
    if (failure === undefined) return { ended };
    umount(mountpoint, MNT_DETACH);
    throw failure;
  }

  /** libfuse's thread ends with the session, and with the mount: nobody tells us otherwise. */
  async #end(path: string): Promise<void> {
    const low = this.#thread.view.getUint32(THREAD, true);
    const high = this.#thread.view.getUint32(THREAD + 4, true);
    await joinThread(high * 0x100000000 + low);
    this.#binding.fuse_native_unmount(path, this.#thread.bytes);
    this.#fs.destroy();
  }

  #allocate(size: number): Buffer {
    const request = new Request(allocate(size));
    this.#requests.set(request.buffer, request);
    return request.buffer;
  }

  #handlers(): { readonly handlers: NativeHandler[]; readonly implemented: Uint32Array } {
    const implemented = new Uint32Array(OPERATIONS);
    const handlers = Array.from({ length: OPERATIONS }, (): NativeHandler => () => undefined);
    const install = (name: string, handler: NativeHandler): void => {
      const operation = this.#binding[`op_${name}`] ?? 0;
      implemented[operation] = 1;
      handlers[operation] = handler;
    };
    install('init', (buffer) => this.#init(buffer));
    for (const name of operationNames()) {
      install(name, (buffer, _operation, ...decoded) => this.#serve(name, buffer, decoded));
    }
    return { handlers, implemented };
  }

  #init(buffer: Buffer): void {
    // A field that must hold what we know: the layout is the one that we read requests by.
    if (this.#requests.get(buffer)?.thread === this.#thread.address) {
      this.#fs.start({ invalidateEntry: () => 0, invalidateInode: () => 0 });
      this.#begin(undefined);
    } else {
      this.#begin(new Error('this build of fuse-native lays requests out in a way that lamina does not know'));
    }
    this.#binding.fuse_native_signal_access(buffer, 0);
  }

  #serve(name: OperationName, buffer: Buffer, decoded: readonly unknown[]): void {
    const request = this.#requests.get(buffer);
    this.#options.count(name);
    const result = request === undefined ? -EIO : this.#handle(name, request);
    this.#reply(name, buffer, result, decoded[DATA[name] ?? decoded.length]);
  }

  #handle(name: OperationName, request: Request): number {
    // The union makes files as if there were none; between requests, this thread's other work keeps its own.
    const mask = umask(0);
    try {
      return this.#operations[name](request);
    } catch (error) {
      this.#options.log(`${name} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      return -EIO;
    } finally {
      umask(mask);
    }
  }

  /** @param data the buffer over the kernel's data, which is gone once the FUSE thread goes on. */
  #reply(name: OperationName, buffer: Buffer, result: number, data: unknown): void {
    const binding = this.#binding;
    if (!(data instanceof Uint8Array) || data.length === 0) binding.fuse_native_signal_access(buffer, result);
    else if (name === 'read' || name === 'write') binding.fuse_native_signal_read(buffer, result, 0, data.buffer);
    else binding.fuse_native_signal_getxattr(buffer, result, data.buffer);
  }
}

function operationNames(): OperationName[] {
  const names = Object.getOwnPropertyNames(Operations.prototype).filter((name) => name !== 'constructor');
  return names as OperationName[];
}

/** Why libfuse could not mount. @param said what it, or the fusermount that it calls, wrote to standard error. */
function reason(said: string): string {
  const fd = openat(AT_FDCWD, DEVICE, O_RDWR | O_CLOEXEC);
  if (fd < 0) return `open ${DEVICE}: ${describeErrno(fd)} (modprobe fuse; in a container, --device /dev/fuse)`;
  close(fd);
  const lines = said
    .trim()
    .split('\n')
    .filter((line) => line !== '');
  const why = lines.length === 0 ? 'it gave no reason' : lines.join('; ');
  if (hasCapability(CAP_SYS_ADMIN)) return why;
  return `${why} (libfuse 2.9 asks the program fusermount to mount: apt-get install fuse3)`;
}
