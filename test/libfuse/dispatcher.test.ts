import { describe, expect, test } from 'vitest';
import { DEFERRED, type FileSystem, type Opened } from '../../fs/filesystem.ts';
import { Dispatcher } from '../../fs/libfuse/dispatcher.ts';
import { type Functions } from '../../fs/libfuse/instance.ts';
import { type Binding, loadBinding } from '../../fs/libfuse/package.ts';
import { EBADF, EIO, ENOENT } from '../../fs/sys/errno.ts';
import { eventfd } from '../../fs/sys/event.ts';
import { write } from '../../fs/sys/file.ts';
import { bindForeign } from '../../fs/sys/foreign-memory.ts';
import { Memory } from '../../fs/sys/memory.ts';
import { hasFuseNative, titled } from '../support/requirements.ts';
import { CountingTree } from './fake.ts';

const THREAD = new Memory(8);
// fuse-native's fuse_thread_locals_t.
const AT_PATH = 24;
const AT_INFO = 48;
const AT_THREAD = 192;
const REQUEST = 512;
// libfuse's fuse_context.
const CONTEXT = new Memory(40);
const ONE = new Memory(8);
ONE.view.setUint32(0, 1, true);

interface Reply {
  readonly buffer: Buffer;
  readonly result: number;
}

/** What fuse-native would do, without libfuse. */
class FakeNative {
  readonly replies: Reply[] = [];
  readonly log: string[] = [];
  readonly begun: boolean[] = [];
  readonly counted: string[] = [];
  readonly numbers: Binding;
  readonly dispatcher: Dispatcher;
  readonly completions = eventfd();
  /** Whether libfuse's structures are found. */
  isKnown = true;
  /** Addresses of functions that libfuse is to call. */
  functions: Functions = new Map();
  /** The fuse_file_info of all requests. */
  readonly info = new Memory(40);
  readonly #strings: Memory[] = [];
  #beginning: Buffer | undefined;
  readonly #instance = {
    extend: (functions: Functions) => void (this.functions = functions),
    hiddenCounter: () => 0,
    findContext: () => ({ context: CONTEXT.address, thread: process.pid }),
  };

  constructor(filesystem: unknown) {
    this.numbers = loadBinding();
    const reply = (buffer: Buffer, result: number): void => void this.replies.push({ buffer, result });
    // The binding's own numbers, and replies that nobody waits for.
    const binding = { ...this.numbers, fuse_native_signal_access: reply };
    const counting = { allowDeferral: () => this.completions, ...(filesystem as object) };
    this.dispatcher = new Dispatcher(binding, counting as FileSystem, {
      thread: THREAD,
      find: () => (this.isKnown ? this.#instance : undefined),
      begin: (known) => this.begun.push(known),
      count: (operation) => this.counted.push(operation),
      log: (line) => this.log.push(line),
    });
  }

  /** Of all requests but init. */
  get results(): number[] {
    return this.replies.filter(({ buffer }) => buffer !== this.#beginning).map((reply) => reply.result);
  }

  call(operation: string, path: string, thread = THREAD.address): void {
    const buffer = this.dispatcher.allocate(REQUEST);
    if (operation === 'init') this.#beginning = buffer;
    const text = new Memory(path.length + 1);
    text.bytes.write(path, 'latin1');
    this.#strings.push(text);
    buffer.writeBigUInt64LE(BigInt(text.address), AT_PATH);
    buffer.writeBigUInt64LE(BigInt(this.info.address), AT_INFO);
    buffer.writeBigUInt64LE(BigInt(thread), AT_THREAD);
    const number = this.numbers[`op_${operation}`] ?? -1;
    this.dispatcher.handlers[number]?.(buffer, number, path);
  }
}

const missing = hasFuseNative();

describe.skipIf(missing !== undefined)(titled('Dispatcher', missing), () => {
  test('an exception in an operation answers EIO and is logged, and the next request is served', () => {
    const tree = new CountingTree();
    tree.make('/a');
    const native = new FakeNative({
      lookup: tree.lookup.bind(tree),
      rmdir: () => {
        throw new Error('a broken invariant');
      },
    });
    native.call('init', '');
    native.call('rmdir', '/a');
    expect(native.results).toEqual([-EIO]);
    expect(native.log).toHaveLength(1);
    expect(native.log[0]).toMatch(/^rmdir failed: Error: a broken invariant/);
    native.call('rmdir', '/none/a');
    expect(native.results).toEqual([-EIO, -ENOENT]);
    expect(native.counted).toEqual(['rmdir', 'rmdir']);
  });

  test('every request is answered to the thread that waits for it', () => {
    const native = new FakeNative(new CountingTree());
    native.call('init', '');
    native.replies.length = 0;
    native.call('unlink', '/none/a');
    native.call('unlink', '/none/b');
    const [first, second] = native.replies;
    expect(first?.buffer).not.toBe(second?.buffer);
  });

  test('a request that is put off is answered once the filesystem says so, and others meanwhile', async () => {
    const tree = new CountingTree();
    tree.make('/slow');
    let outcome = DEFERRED;
    const native = new FakeNative({
      lookup: tree.lookup.bind(tree),
      rmdir: () => outcome,
    });
    native.call('init', '');
    native.call('rmdir', '/slow');
    native.call('rmdir', '/none/a');
    expect(native.results).toEqual([-ENOENT]);
    outcome = 0;
    write(native.completions, ONE.address, 8);
    await expect.poll(() => native.results).toEqual([-ENOENT, 0]);
  });

  test('what libfuse calls by itself waits for what is put off, and an exception in it answers EIO', () => {
    const tree = new CountingTree();
    tree.make('/file');
    const outcomes = [DEFERRED, 7];
    const native = new FakeNative({
      lookup: tree.lookup.bind(tree),
      open: (_node: number, _flags: number, opened: Opened) => {
        opened.handle = 3;
        return 0;
      },
      fsync: () => {
        const outcome = outcomes.shift();
        if (outcome === undefined) throw new Error('a broken invariant');
        write(native.completions, ONE.address, 8);
        return outcome;
      },
    });
    native.call('init', '');
    native.call('open', '/file');
    const fsync = bindForeign('int test_fsync(uintptr_t path, int dataOnly, uintptr_t info)');
    const address = native.functions.get('fsync') ?? 0;
    expect(fsync(address, 0, 0, native.info.address)).toBe(7);
    expect(fsync(address, 0, 0, native.info.address)).toBe(-EIO);
    expect(native.log[0]).toMatch(/^fsync failed: Error: a broken invariant/);
    expect(fsync(address, 0, 0, new Memory(40).address)).toBe(-EBADF);
    expect(native.counted).toEqual(['open', 'fsync', 'fsync', 'fsync']);
  });

  test('init tells a layout of requests, and of libfuse’s data, that is not known', () => {
    const native = new FakeNative(new CountingTree());
    native.call('init', '');
    native.call('init', '', THREAD.address + 8);
    native.isKnown = false;
    native.call('init', '');
    expect(native.begun).toEqual([true, false, false]);
    expect(native.replies.map((reply) => reply.result)).toEqual([0, 0, 0]);
  });
});
