import { EIO } from '../sys/errno.ts';
import { Memory } from '../sys/memory.ts';
import { umask } from '../sys/metadata.ts';
import { Operations } from './operations.ts';
import { type Binding, type NativeHandler } from './package.ts';
import { Request } from './request.ts';

/** libfuse's operations that we implement. The rest answers ENOSYS, which the kernel remembers. */
export type OperationName = keyof Operations;

export interface DispatcherOptions {
  /** Address of fuse-native's structure for the mount, to which every request points. */
  readonly thread: number;
  /** The kernel has begun the session, or requests are laid out in a way that we do not know. */
  readonly begin: (known: boolean) => void;
  readonly count: (operation: OperationName) => void;
  readonly log: (line: string) => void;
}

/** Operations that fuse-native has numbers for. */
const OPERATIONS = 35;

/** Where fuse-native's own decoding has the buffer over the kernel's data, which must be detached before the reply. */
const DATA: Readonly<Partial<Record<OperationName, number>>> = {
  read: 2,
  write: 2,
  setxattr: 2,
  getxattr: 2,
  listxattr: 1,
};

function operationNames(): OperationName[] {
  const names = Object.getOwnPropertyNames(Operations.prototype).filter((name) => name !== 'constructor');
  return names as OperationName[];
}

// What native code writes to lives as long as the process: libfuse's threads end when they like.
const pinned: Memory[] = [];

/** Memory for native code. */
export function allocate(size: number): Memory {
  const memory = new Memory(size);
  pinned.push(memory);
  return memory;
}

/** Takes what fuse-native calls, has it answered, and lets the FUSE thread go on. */
export class Dispatcher {
  readonly #binding: Binding;
  readonly #operations: Operations;
  readonly #options: DispatcherOptions;
  readonly #requests = new Map<Buffer, Request>();
  /** By fuse-native's numbers. */
  readonly handlers: NativeHandler[] = Array.from({ length: OPERATIONS }, () => () => undefined);
  /** 1 for each operation that libfuse is to call. */
  readonly implemented = new Uint32Array(OPERATIONS);

  constructor(binding: Binding, operations: Operations, options: DispatcherOptions) {
    this.#binding = binding;
    this.#operations = operations;
    this.#options = options;
    this.#install('init', (buffer) => this.#init(buffer));
    for (const name of operationNames()) {
      this.#install(name, (buffer, _operation, ...decoded) => this.#serve(name, buffer, decoded));
    }
  }

  /** Memory for the requests of one more FUSE thread. */
  readonly allocate = (size: number): Buffer => {
    const request = new Request(allocate(size));
    this.#requests.set(request.buffer, request);
    return request.buffer;
  };

  #install(name: string, handler: NativeHandler): void {
    const operation = this.#binding[`op_${name}`];
    if (operation === undefined) throw new Error(`fuse-native has no operation ${name}`);
    this.implemented[operation] = 1;
    this.handlers[operation] = handler;
  }

  #init(buffer: Buffer): void {
    // A field that must hold what we know: the layout is the one that we read requests by.
    this.#options.begin(this.#requests.get(buffer)?.thread === this.#options.thread);
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
