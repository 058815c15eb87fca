import { type NoOpen } from '../../fs/fuse/connection.ts';
import { type Device } from '../../fs/fuse/device.ts';
import { REQUEST_COUNTERS } from '../../fs/fuse/constants.ts';
import { DeviceNotifier } from '../../fs/fuse/notifier.ts';
import { Session } from '../../fs/fuse/session.ts';
import { Slot } from '../../fs/fuse/slot.ts';
import { type AttrChange, type Caller, type FileSystem } from '../../fs/filesystem.ts';
import { type Attr } from '../../fs/sys/attr.ts';
import { EAGAIN, ENODEV, ENOSYS } from '../../fs/sys/errno.ts';
import { bind } from '../../fs/sys/libc.ts';

const copyIn = bind('uintptr_t memcpy(void *to, uintptr_t from, size_t length)');
const copyOut = bind('uintptr_t memcpy(uintptr_t to, const void *from, size_t length)');

/** Bytes at an address of this process. */
export function bytesAt(address: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  copyIn(bytes, address, length);
  return bytes;
}

/** Stores bytes at an address of this process. */
export function store(address: number, bytes: Buffer): void {
  copyOut(address, bytes, bytes.length);
}

/** The argument's size is in an ioctl's number. */
const IOCTL_SIZE = (number: number): number => (number >>> 16) & 0x3fff;

/** A kernel made of a list: hands out requests, keeps what is written. */
export class FakeDevice implements Device {
  /** A number is a negative errno that the read answers. */
  readonly requests: (Buffer | number)[];
  readonly fd: number = -1;
  readonly isShared: boolean = false;
  readonly replies: Buffer[] = [];
  readonly nonBlocking: boolean[] = [];
  waits = 0;
  /** Number, and the argument's bytes in hexadecimal. */
  readonly ioctls: (readonly [number: number, argument: string])[] = [];
  /** What ioctls answer. */
  backing = 0;
  /** What writes answer, where they fail. */
  failure: number | undefined;

  constructor(requests: readonly (Buffer | number)[] = []) {
    this.requests = [...requests];
  }

  read(address: number, capacity: number): number {
    const request = this.requests.shift() ?? -ENODEV;
    if (typeof request === 'number') return request;
    if (request.length > capacity) throw new Error('the request does not fit');
    store(address, request);
    return request.length;
  }

  write(address: number, length: number): number {
    this.replies.push(bytesAt(address, length));
    return this.failure ?? length;
  }

  /** The event has always come. */
  waitFor(): boolean {
    return true;
  }

  /** EAGAIN stands for the time that it takes. */
  wait(timeout: number): number {
    this.waits += 1;
    if (timeout < 0 || this.requests[0] !== -EAGAIN) return 1;
    this.requests.shift();
    return 0;
  }

  setNonBlocking(on: boolean): void {
    this.nonBlocking.push(on);
  }

  ioctl(number: number, argument: number): number {
    this.ioctls.push([number, bytesAt(argument, IOCTL_SIZE(number)).toString('hex')]);
    return this.backing;
  }
}

type Call = readonly [method: string, ...parameters: unknown[]];

/** Objects that the session pools are kept as they were at the time of the call. */
function snapshot(parameter: unknown): unknown {
  if (typeof parameter !== 'object' || parameter === null) return parameter;
  if ('valid' in parameter) {
    const { times, ...change } = parameter as AttrChange;
    return { ...change, times: Buffer.from(times.memory.bytes).toString('hex') };
  }
  if ('umask' in parameter) return { ...(parameter as Caller) };
  return undefined;
}

export type Answers = { -readonly [Key in keyof FileSystem]?: FileSystem[Key] };

/** A filesystem that keeps the calls made and answers as it is told, else ENOSYS. */
function createFake(answers: Answers = {}): { readonly fs: FileSystem; readonly calls: Call[] } {
  const calls: Call[] = [];
  const target: Answers = {
    timeout: 1e9,
    acl: false,
    exportable: false,
    opensDirectories: true,
    opensFiles: true,
    expectsSlowReads: false,
    readTook: () => undefined,
    restsAfter: -1,
    passthroughObstacle: '',
    attributesLast: () => true,
    start: () => undefined,
    allowDeferral: () => -1,
    destroy: () => undefined,
    ...answers,
  };
  const fs = new Proxy(target as FileSystem, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name);
      if (value !== undefined && typeof value !== 'function') return value;
      return (...parameters: unknown[]) => {
        // Asked with every attribute that goes out, and told of every read.
        if (name !== 'attributesLast' && name !== 'readTook')
          calls.push([String(name), ...parameters.map(snapshot).filter((parameter) => parameter !== undefined)]);
        return typeof value === 'function' ? (value as (...all: unknown[]) => unknown)(...parameters) : -ENOSYS;
      };
    },
  });
  return { fs, calls };
}

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};
export const u32 = (...values: readonly number[]): Buffer => Buffer.concat(values.map(word));
export const u64 = (...values: readonly (number | bigint)[]): Buffer => {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => bytes.writeBigUInt64LE(BigInt(value), index * 8));
  return bytes;
};
/** A NUL-terminated string. */
export const text = (value: string): Buffer => Buffer.from(`${value}\0`, 'latin1');
export const hex = (digits: string): Buffer => Buffer.from(digits.replace(/[^0-9a-f]/g, ''), 'hex');

/** A request as the kernel makes it: uid 1000, gid 100, pid 4242, unique 0x1122334455667788. */
export function request(opcode: number, node: number, ...body: readonly Buffer[]): Buffer {
  const rest = Buffer.concat(body);
  const header = Buffer.concat([
    u32(40 + rest.length, opcode),
    u64(0x1122334455667788n, node),
    u32(1000, 100, 4242, 0),
  ]);
  return Buffer.concat([header, rest]);
}

export interface Served {
  readonly replies: readonly Buffer[];
  readonly calls: readonly Call[];
  readonly log: readonly string[];
  readonly requests: Float64Array;
  readonly nonBlocking: readonly boolean[];
}

/** An INIT of a recent kernel, which offers everything. */
export const INIT_REQUEST = request(26, 0, u32(7, 45, 131072, 0x7fffffff, 0xffffffff), Buffer.alloc(44));

/** Serves requests, without a mount, until they are used up. */
export function serve(
  answers: Answers,
  requests: readonly (Buffer | number)[],
  failure?: number,
  pageSize = 4096,
  passthrough = true,
  noOpen: NoOpen = 'off',
): Served {
  const device = new FakeDevice(requests);
  device.failure = failure;
  const { fs, calls } = createFake(answers);
  const log: string[] = [];
  const counters = new Float64Array(REQUEST_COUNTERS);
  const session = new Session(device, fs, {
    requests: counters,
    log: (line) => log.push(line),
    pageSize,
    completions: -1,
    noOpen,
    passthrough,
  });
  session.run();
  return { replies: device.replies, calls, log, requests: counters, nonBlocking: device.nonBlocking };
}

/** Serves INIT and one request; answers that one's reply, and the calls it made. */
export function answer(answers: Answers, one: Buffer): { reply: Buffer; calls: readonly Call[] } {
  const { replies, calls } = serve(answers, [INIT_REQUEST, one]);
  const made = calls.filter(([method]) => method !== 'start' && method !== 'destroy');
  return { reply: replies[1] ?? Buffer.alloc(0), calls: made };
}

/** Fills an attribute with values that are all different. */
export function fillAttr(attr: Attr): void {
  const { view } = attr;
  const put64 = (offset: number, value: bigint): void => view.setBigUint64(offset, value, true);
  attr.memory.bytes.fill(0);
  view.setUint32(0x00, 0xfff, true); // mask
  view.setUint32(0x04, 4096, true); // blksize
  put64(0x08, 0xeeeeeeeeeeeeeeeen); // attributes
  put64(0x38, 0xddddddddddddddddn); // attributes_mask
  attr.nlink = 3;
  attr.uid = 1001;
  attr.gid = 1002;
  attr.mode = 0o100644;
  put64(0x20, 0xfedcba9876543210n); // ino: more than a double holds
  attr.size = 0x123456789a;
  attr.blocks = 0x77;
  put64(0x40, 0xffffffffffffffffn); // atime: one second before 1970
  view.setUint32(0x48, 111, true);
  put64(0x50, 444n); // btime
  view.setUint32(0x58, 555, true);
  put64(0x60, 333n); // ctime
  view.setUint32(0x68, 3, true);
  put64(0x70, 222n); // mtime
  view.setUint32(0x78, 2, true);
  view.setUint32(0x80, 8, true); // rdev 8:0x1ff
  view.setUint32(0x84, 0x1ff, true);
  view.setUint32(0x88, 9, true);
  view.setUint32(0x8c, 1, true);
}

/** A slot of a connection that has been begun, with nothing taken that the kernel offers. */
export function createSlot(device: Device): Slot {
  return new Slot({
    fs: createFake().fs,
    notifier: new DeviceNotifier(device),
    passthrough: undefined,
    splicer: undefined,
    inbound: undefined,
    pageSize: 4096,
    validSeconds: 0,
    validNanoseconds: 0,
    setxattrExt: false,
    skipsOpendir: false,
    skipsOpen: false,
    noOpen: 'off',
    started: true,
    minor: 45,
  });
}
