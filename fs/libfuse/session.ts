import { type FileSystem } from '../filesystem.ts';
import { type ByteString } from '../sys/bytes.ts';
import { CAP_SYS_ADMIN, hasCapability } from '../sys/capability.ts';
import { AT_FDCWD, MNT_DETACH, O_CLOEXEC, O_RDWR } from '../sys/constants.ts';
import { describeErrno } from '../sys/errno.ts';
import { close, openat } from '../sys/file.ts';
import { type Memory } from '../sys/memory.ts';
import { mount, umount } from '../sys/mount.ts';
import { CLOSE_RANGE_CLOEXEC, closeRange } from '../sys/process.ts';
import { captureStandardError } from '../sys/standard-error.ts';
import { joinThread } from '../sys/thread.ts';
import { Dispatcher, type OperationName } from './dispatcher.ts';
import { FuseInstance } from './instance.ts';
import { type LibfuseOptions, libfuseArguments, libfuseMountpoint, PROPAGATION } from './mount-options.ts';
import { type Binding } from './package.ts';
import { allocate } from './request-pool.ts';

export interface LibfuseSessionOptions {
  readonly mount: LibfuseOptions;
  /** Subtype of the mount's type. */
  readonly type: string;
  readonly count: (operation: OperationName) => void;
  readonly log: (line: string) => void;
}

const DEVICE = '/dev/fuse';
/** Offset of the FUSE thread in fuse-native's `fuse_thread_t`. */
const THREAD = 8;

/** A union that is served through libfuse, on this thread's event loop. It closes the filesystem, however it ends. */
export class LibfuseSession {
  readonly #binding: Binding;
  readonly #fs: FileSystem;
  readonly #options: LibfuseSessionOptions;
  readonly #dispatcher: Dispatcher;
  readonly #thread: Memory;
  readonly #begun: Promise<boolean>;

  constructor(binding: Binding, fs: FileSystem, options: LibfuseSessionOptions) {
    this.#binding = binding;
    this.#fs = fs;
    this.#options = options;
    this.#thread = allocate(binding.sizeof_fuse_thread_t);
    let begin: (known: boolean) => void = () => undefined;
    this.#begun = new Promise((resolve) => (begin = resolve));
    const { count, log } = options;
    this.#dispatcher = new Dispatcher(binding, fs, {
      thread: this.#thread,
      find: (thread, implemented) => FuseInstance.find(thread, implemented),
      begin: (known) => begin(known),
      count,
      log,
    });
  }

  /**
   * Mounts, and resolves once the kernel has begun the session; the promise in it when the session has ended and the
   * filesystem is closed. Throws, with nothing mounted, where that cannot be.
   */
  async mount(mountpoint: ByteString): Promise<{ readonly ended: Promise<void> }> {
    const path = this.#start(mountpoint);
    const ended = this.#end(path);
    const begun = await Promise.race([this.#begun, ended]);
    if (begun === true) return { ended };
    if (begun === undefined) throw new Error(`the mount on ${path} ended at once`);
    umount(mountpoint, MNT_DETACH);
    await ended;
    throw new Error(
      'this build of fuse-native, of libfuse or of the C library keeps its data in a way that lamina does not know (use the default backend)',
    );
  }

  /** Answers the mount point as fuse-native has it. */
  #start(mountpoint: ByteString): string {
    const { mount: options, type } = this.#options;
    try {
      const path = libfuseMountpoint(mountpoint);
      this.#mount(path, libfuseArguments(options, this.#fs.timeout, type));
      // libfuse opens its device without O_CLOEXEC.
      closeRange(3, CLOSE_RANGE_CLOEXEC);
      if (options.propagation !== undefined) mount('', mountpoint, '', PROPAGATION[options.propagation]);
      this.#fs.start({ invalidateEntry: () => 0, invalidateInode: () => 0, storeContent: () => 0 }, undefined, false);
      return path;
    } catch (error) {
      this.#fs.destroy();
      throw error;
    }
  }

  #mount(path: string, text: string): void {
    const { handlers, implemented, allocate: allocateRequest } = this.#dispatcher;
    const refused: unknown[] = [];
    const said = captureStandardError(() => {
      try {
        this.#binding.fuse_native_mount(path, text, this.#thread.bytes, this, allocateRequest, handlers, implemented);
      } catch (error) {
        refused.push(error);
      }
    });
    if (refused.length === 0) return;
    throw new Error(`cannot mount on ${path} through fuse-native: ${reason(said)}`, { cause: refused[0] });
  }

  /** libfuse's thread ends with the session, and with the mount: nobody tells us otherwise. */
  async #end(path: string): Promise<void> {
    const low = this.#thread.view.getUint32(THREAD, true);
    const high = this.#thread.view.getUint32(THREAD + 4, true);
    await joinThread(high * 0x100000000 + low);
    this.#binding.fuse_native_unmount(path, this.#thread.bytes);
    this.#dispatcher.end();
    this.#fs.destroy();
  }
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
