import { loadKoffi } from './koffi.ts';

/** The longest that Node's timers can be told, in ms. */
const LONGEST = 0x7fffffff;

/**
 * libuv's loop, in which Node's main thread waits for signals, sockets, timers and other threads. Who has it can wait for all
 * that along with something of its own, and go back to Node when there is something to do (libuv, "embedding").
 */
export class EventLoop {
  /** Readable when the loop has something to do. */
  readonly fd: number;
  readonly #timeout: () => number;
  readonly #alive: NodeJS.Timeout;

  private constructor(fd: number, timeout: () => number, alive: NodeJS.Timeout) {
    this.fd = fd;
    this.#timeout = timeout;
    this.#alive = alive;
  }

  /** That of the main thread, which must be who calls; undefined where Node has been built so that it cannot be had. */
  static open(): EventLoop | undefined {
    // A loop that waits for nothing is at its end: so does the process, and so says its timeout.
    const alive = setInterval(() => undefined, LONGEST);
    const loop = findLoop();
    if (loop === undefined) clearInterval(alive);
    return loop && new EventLoop(loop.fd, loop.timeout, alive);
  }

  /**
   * In how many ms it has something to do by itself, since there are timers, or what has not begun yet, counted from its last
   * turn; negative: never. For callbacks of setImmediate.
   */
  timeout(): number {
    // While there are immediates libuv must not wait, says Node, and takes that back when it has called them: or when one is
    // cleared and there is no other.
    clearImmediate(setImmediate(() => undefined));
    return this.#timeout();
  }

  /** Has it no longer keep the process from its end. */
  close(): void {
    clearInterval(this.#alive);
  }
}

function findLoop(): { readonly fd: number; readonly timeout: () => number } | undefined {
  try {
    const program = loadKoffi().load(null);
    const call = (prototype: string): ((loop?: number) => number) => program.func(prototype) as () => number;
    const loop = call('uintptr_t uv_default_loop()')();
    // Another copy of libuv, if one is loaded, has made a loop of its own, in which no timer runs.
    if (call('int uv_loop_alive(uintptr_t loop)')(loop) === 0) return undefined;
    const fd = call('int uv_backend_fd(uintptr_t loop)')(loop);
    const timeout = call('int uv_backend_timeout(uintptr_t loop)');
    return fd < 0 ? undefined : { fd, timeout: () => timeout(loop) };
  } catch {
    // A Node that keeps its symbols to itself.
    return undefined;
  }
}
