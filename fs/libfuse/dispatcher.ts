import { DEFERRED, type FileSystem } from '../filesystem.ts';
import { EIO } from '../sys/errno.ts';
import { defineCallback, type ForeignCallback } from '../sys/foreign-memory.ts';
import { type Memory } from '../sys/memory.ts';
import { umask } from '../sys/metadata.ts';
import { DirectOperations } from './direct-operations.ts';
import { type FuseInstance } from './instance.ts';
import { Operations } from './operations.ts';
import { type Binding, type NativeHandler } from './package.ts';
import { Parking } from './parking.ts';
import { RequestPool } from './request-pool.ts';
import { type Request } from './request.ts';
import { Tables } from './tables.ts';

type PathOperation = keyof Operations;
type DirectOperation = keyof DirectOperations;

/** libfuse's operations that we implement. The rest answers ENOSYS, which the kernel remembers. */
export type OperationName = PathOperation | DirectOperation;

export interface DispatcherOptions {
  /** fuse-native's structure for the mount, to which every request points. */
  readonly thread: Memory;
  /** Finds what libfuse keeps for the mount; see `FuseInstance.find`. */
  readonly find: (
    thread: Memory,
    implemented: ReadonlySet<string>,
  ) => Pick<FuseInstance, 'extend' | 'findContext' | 'hiddenCounter'> | undefined;
  /** The kernel has begun the session, or fuse-native or libfuse keep their data in a way that we do not know. */
  readonly begin: (known: boolean) => void;
  readonly count: (operation: OperationName) => void;
  readonly log: (line: string) => void;
}

/** Operations that fuse-native has numbers for. */
const OPERATIONS = 35;

/** Where fuse-native's own decoding has the buffer over the kernel's data, which must be detached before the reply. */
const DATA: Readonly<Partial<Record<PathOperation, number>>> = { setxattr: 2, getxattr: 2, listxattr: 1 };

/** C declarations of what libfuse calls by itself. */
const DIRECT: Readonly<Record<DirectOperation, (callback: ForeignCallback) => number>> = {
  fgetattr: defineCallback('int libfuse_fgetattr(uintptr_t path, uintptr_t stat, uintptr_t info)'),
  ftruncate: defineCallback('int libfuse_ftruncate(uintptr_t path, int64_t size, uintptr_t info)'),
  utimens: defineCallback('int libfuse_utimens(uintptr_t path, uintptr_t times)'),
  read: defineCallback('int libfuse_read(uintptr_t path, uintptr_t data, size_t size, int64_t offset, uintptr_t info)'),
  write: defineCallback(
    'int libfuse_write(uintptr_t path, uintptr_t data, size_t size, int64_t offset, uintptr_t info)',
  ),
  fallocate: defineCallback(
    'int libfuse_fallocate(uintptr_t path, int mode, int64_t offset, int64_t length, uintptr_t info)',
  ),
  fsync: defineCallback('int libfuse_fsync(uintptr_t path, int dataOnly, uintptr_t info)'),
  ioctl: defineCallback(
    'int libfuse_ioctl(uintptr_t path, int command, uintptr_t argument, uintptr_t info, uint32_t flags, uintptr_t data)',
  ),
  release: defineCallback('int libfuse_release(uintptr_t path, uintptr_t info)'),
  readdir: defineCallback(
    'int libfuse_readdir(uintptr_t path, uintptr_t buffer, uintptr_t filler, int64_t offset, uintptr_t info)',
  ),
  fsyncdir: defineCallback('int libfuse_fsyncdir(uintptr_t path, int dataOnly, uintptr_t info)'),
  releasedir: defineCallback('int libfuse_releasedir(uintptr_t path, uintptr_t info)'),
};

function namesOf<Name extends string>(prototype: Readonly<Record<Name, unknown>>): Name[] {
  return Object.getOwnPropertyNames(prototype).filter((name) => name !== 'constructor') as Name[];
}

/** Takes what fuse-native and libfuse call, has it answered, and lets the FUSE thread go on. */
export class Dispatcher {
  readonly #binding: Binding;
  readonly #operations: Operations;
  readonly #direct: DirectOperations;
  readonly #parking: Parking;
  readonly #options: DispatcherOptions;
  readonly #requests = new RequestPool();
  #instance: ReturnType<DispatcherOptions['find']>;
  /** By fuse-native's numbers. */
  readonly handlers: NativeHandler[] = Array.from({ length: OPERATIONS }, () => () => undefined);
  /** 1 for each operation that libfuse is to call. */
  readonly implemented = new Uint32Array(OPERATIONS);
  readonly #names = new Set<string>();

  constructor(binding: Binding, fs: FileSystem, options: DispatcherOptions) {
    const tables = new Tables(fs);
    this.#binding = binding;
    this.#operations = new Operations(fs, tables, () => this.#instance?.hiddenCounter() ?? 0);
    this.#direct = new DirectOperations(fs, tables);
    this.#parking = new Parking(fs.allowDeferral());
    this.#options = options;
    this.#install('init', (buffer) => this.#init(buffer));
    for (const name of namesOf<PathOperation>(Operations.prototype)) {
      this.#install(name, (buffer, _operation, ...decoded) => this.#serve(name, buffer, decoded));
    }
  }

  /** Memory for the requests of one more FUSE thread. */
  readonly allocate = (size: number): Buffer => this.#requests.allocate(size);

  /** libfuse's threads have ended. */
  end(): void {
    this.#requests.reclaim();
  }

  #install(name: string, handler: NativeHandler): void {
    const operation = this.#binding[`op_${name}`];
    if (operation === undefined) throw new Error(`fuse-native has no operation ${name}`);
    this.implemented[operation] = 1;
    this.handlers[operation] = handler;
    this.#names.add(name);
  }

  #init(buffer: Buffer): void {
    this.#options.begin(this.#begin(buffer));
    this.#binding.fuse_native_signal_access(buffer, 0);
  }

  /** Answers whether everything is where we know it to be. libfuse calls nothing else meanwhile. */
  #begin(buffer: Buffer): boolean {
    const { thread } = this.#options;
    const request = this.#requests.get(buffer);
    if (request?.thread !== thread.address) return false;
    this.#instance = this.#options.find(thread, this.#names);
    if (this.#instance === undefined || !this.#findCaller(request)) return false;
    const names = namesOf<DirectOperation>(DirectOperations.prototype);
    const functions = names.map((name) => [name, DIRECT[name](this.#callback(name))] as const);
    this.#instance.extend(new Map(functions));
    return true;
  }

  /** Where libfuse has who asks, for all requests of a thread. */
  #findCaller(request: Request): boolean {
    const { context, thread } = this.#instance?.findContext(request.address) ?? { context: 0, thread: 0 };
    request.context = context;
    request.threadId = thread;
    return context !== 0;
  }

  #serve(name: PathOperation, buffer: Buffer, decoded: readonly unknown[]): void {
    const request = this.#requests.get(buffer);
    this.#options.count(name);
    const data = decoded[DATA[name] ?? decoded.length];
    if (request === undefined || (request.context === 0 && !this.#findCaller(request))) {
      this.#options.log(`${name} failed: libfuse's thread is not known`);
      this.#reply(buffer, -EIO, data);
      return;
    }
    this.#answer(name, request, data);
  }

  #answer(name: PathOperation, request: Request, data: unknown): void {
    const result = this.#handle(name, () => this.#operations[name](request));
    if (result === DEFERRED) this.#parking.park(() => this.#answer(name, request, data));
    else this.#reply(request.buffer, result, data);
  }

  #callback(name: DirectOperation): ForeignCallback {
    const operation = this.#direct[name].bind(this.#direct) as ForeignCallback;
    return (...parameters) => {
      this.#options.count(name);
      for (;;) {
        const result = this.#handle(name, () => operation(...parameters));
        if (result !== DEFERRED) return result;
        // It is answered by returning, and so cannot be parked.
        this.#parking.wait();
      }
    };
  }

  #handle(name: OperationName, operation: () => number): number {
    // The union makes files as if there were none; between requests, this thread's other work keeps its own.
    const mask = umask(0);
    try {
      return operation();
    } catch (error) {
      this.#options.log(`${name} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      return -EIO;
    } finally {
      umask(mask);
    }
  }

  /** @param data the buffer over the kernel's data, which is gone once the FUSE thread goes on. */
  #reply(buffer: Buffer, result: number, data: unknown): void {
    if (!(data instanceof Uint8Array) || data.length === 0) this.#binding.fuse_native_signal_access(buffer, result);
    else this.#binding.fuse_native_signal_getxattr(buffer, result, data.buffer);
  }
}
