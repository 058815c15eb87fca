import { describe, expect, test } from 'vitest';
import { type FileSystem } from '../../fs/filesystem.ts';
import { Dispatcher } from '../../fs/libfuse/dispatcher.ts';
import { Operations } from '../../fs/libfuse/operations.ts';
import { type Binding, loadBinding } from '../../fs/libfuse/package.ts';
import { EIO, ENOENT } from '../../fs/sys/errno.ts';
import { Memory } from '../../fs/sys/memory.ts';
import { hasFuseNative, titled } from '../support/requirements.ts';
import { CountingTree } from './fake.ts';

const THREAD = 0x1234;
// fuse-native's fuse_thread_locals_t.
const AT_PATH = 24;
const AT_THREAD = 192;
const REQUEST = 512;

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
  readonly #strings: Memory[] = [];

  constructor(filesystem: unknown) {
    this.numbers = loadBinding();
    const reply = (buffer: Buffer, result: number): void => void this.replies.push({ buffer, result });
    // The binding's own numbers, and replies that nobody waits for.
    const binding = { ...this.numbers, fuse_native_signal_access: reply };
    this.dispatcher = new Dispatcher(binding, new Operations(filesystem as FileSystem), {
      thread: THREAD,
      begin: (known) => this.begun.push(known),
      count: (operation) => this.counted.push(operation),
      log: (line) => this.log.push(line),
    });
  }

  call(operation: string, path: string, thread = THREAD): void {
    const buffer = this.dispatcher.allocate(REQUEST);
    const text = new Memory(path.length + 1);
    text.bytes.write(path, 'latin1');
    this.#strings.push(text);
    buffer.writeBigUInt64LE(BigInt(text.address), AT_PATH);
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
    native.call('rmdir', '/a');
    expect(native.replies.map((reply) => reply.result)).toEqual([-EIO]);
    expect(native.log).toHaveLength(1);
    expect(native.log[0]).toMatch(/^rmdir failed: Error: a broken invariant/);
    native.call('rmdir', '/none/a');
    expect(native.replies.map((reply) => reply.result)).toEqual([-EIO, -ENOENT]);
    expect(native.counted).toEqual(['rmdir', 'rmdir']);
  });

  test('every request is answered to the thread that waits for it', () => {
    const native = new FakeNative(new CountingTree());
    native.call('unlink', '/none/a');
    native.call('unlink', '/none/b');
    const [first, second] = native.replies;
    expect(first?.buffer).not.toBe(second?.buffer);
  });

  test('init tells a layout of requests that is not known', () => {
    const native = new FakeNative(new CountingTree());
    native.call('init', '');
    native.call('init', '', THREAD + 1);
    expect(native.begun).toEqual([true, false]);
    expect(native.replies.map((reply) => reply.result)).toEqual([0, 0]);
  });
});
