import { bindProgram } from '../sys/foreign-memory.ts';
import { Memory } from '../sys/memory.ts';
import { isThreadAlive } from '../sys/thread.ts';
import { Request } from './request.ts';

// What native code writes to lives as long as the process: libfuse's threads end when they like.
const pinned: Memory[] = [];

/** Memory for native code. */
export function allocate(size: number): Memory {
  const memory = new Memory(size);
  pinned.push(memory);
  return memory;
}

const closeHandle = bindProgram('void uv_close(uintptr_t handle, uintptr_t callback)');

/** Requests whose memory is free, for all mounts of this process. */
const free: Request[] = [];

/**
 * The requests of libfuse's threads, one each. libfuse ends threads that it has too many of, of which fuse-native keeps
 * what it had for each, a handle of the event loop too, which every turn of the loop would look at for ever: it is
 * closed here, and the memory used again.
 */
export class RequestPool {
  readonly #requests = new Map<Buffer, Request>();

  /** Memory for the requests of one more thread. */
  allocate(size: number): Buffer {
    this.reclaim();
    const used = free.pop();
    const request = used ?? new Request(allocate(size));
    request.begin();
    this.#requests.set(request.buffer, request);
    return request.buffer;
  }

  get(buffer: Buffer): Request | undefined {
    return this.#requests.get(buffer);
  }

  get size(): number {
    return this.#requests.size;
  }

  /** Takes back what was a thread's that has ended. */
  reclaim(): void {
    for (const request of this.#requests.values()) {
      const { threadId, loopHandle } = request;
      if (threadId === 0 || loopHandle === 0 || isThreadAlive(threadId)) continue;
      this.#requests.delete(request.buffer);
      closeHandle(loopHandle, 0);
      // The loop lets go of a closed handle at the end of a turn: of this one or, where it is in that phase, the next.
      setImmediate(() => setImmediate(() => free.push(request)));
    }
  }
}
