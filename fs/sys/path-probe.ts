import { type ByteString } from './bytes.ts';
import { O_CLOEXEC, O_PATH, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV } from './constants.ts';
import { ENAMETOOLONG } from './errno.ts';
import { close } from './file.ts';
import { bindAsync, syscallNumber } from './libc.ts';
import { Memory } from './memory.ts';

const nativeOpenat2 = bindAsync('long syscall(long number, int dirfd, uintptr_t path, uintptr_t how, size_t size)');

const PATH_MAX = 4096;
const HOW = 24;

/** Looks paths up on a thread of libuv's pool, one at a time, which has the kernel read the directories on the way. */
export class PathProbe {
  readonly #how = new Memory(HOW);
  readonly #path = new Memory(PATH_MAX);

  constructor() {
    const { view } = this.#how;
    view.setUint32(0, O_PATH | O_CLOEXEC, true);
    view.setUint32(16, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV, true);
  }

  /** Resolves with 0 where it is there, or a negative errno. Nothing on the path is opened but as a place (O_PATH). */
  async look(dirfd: number, path: ByteString): Promise<number> {
    const length = this.#path.bytes.write(`${path}\0`, 'latin1');
    if (length <= path.length) return -ENAMETOOLONG;
    const fd = await nativeOpenat2(syscallNumber('openat2'), dirfd, this.#path.address, this.#how.address, HOW);
    return fd < 0 ? fd : close(fd);
  }
}
