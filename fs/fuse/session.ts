import { DEFERRED } from '../filesystem.ts';
import type { FileSystem } from '../filesystem.ts';
import { EAGAIN, EBADF, ECONNABORTED, EINTR, EINVAL, EIO, ENODEV, ENOENT, ENOSYS, errnoName } from '../sys/errno.ts';
import type { Connection, NoOpen } from './connection.ts';
import { MINIMUM_MINOR_VERSION, REQUEST_COUNTERS } from './constants.ts';
import type { Device } from './device.ts';
import { NO_REPLY } from './handlers/handler.ts';
import { InboundPipe } from './inbound-pipe.ts';
import type { LoopWatch } from './loop-watch.ts';
import { DeviceNotifier } from './notifier.ts';
import { DevicePassthrough } from './passthrough.ts';
import { BODIES, HANDLERS, SILENT } from './opcodes.ts';
import { Receiver } from './receiver.ts';
import { BODY, Slot } from './slot.ts';
import { Splicer } from './splicer.ts';

export interface SessionOptions {
  /** Of `REQUEST_COUNTERS` elements. */
  readonly requests: Float64Array;
  readonly log: (line: string) => void;
  readonly pageSize: number;
  /** What `FileSystem.allowDeferral` answered; needed where the filesystem puts requests off. */
  readonly completions: number;
  readonly noOpen: NoOpen;
  /** Whether the kernel is asked for passthrough. */
  readonly passthrough: boolean;
}

/** Reads requests from the kernel, has the filesystem answer them, and writes the replies. */
export class Session {
  readonly #device: Device;
  readonly #receiver: Receiver;
  readonly #options: SessionOptions;
  readonly #connection: Connection;
  // One request is under way at a time; one that has to wait leaves its slot and is parked.
  readonly #slot: Slot;
  /** Requests that the filesystem put off, in the order of their coming. */
  #parked: Buffer[] = [];

  constructor(device: Device, fs: FileSystem, options: SessionOptions) {
    this.#device = device;
    this.#options = options;
    this.#connection = {
      fs,
      notifier: new DeviceNotifier(device),
      passthrough: options.passthrough ? new DevicePassthrough(device) : undefined,
      inbound: undefined,
      splicer: device.fd < 0 ? undefined : new Splicer(device.fd, options.pageSize),
      pageSize: options.pageSize,
      validSeconds: 0,
      validNanoseconds: 0,
      setxattrExt: false,
      skipsOpendir: false,
      noOpen: options.noOpen,
      skipsOpen: false,
      started: false,
      minor: MINIMUM_MINOR_VERSION,
    };
    this.#slot = new Slot(this.#connection);
    this.#connection.inbound = device.fd < 0 ? undefined : new InboundPipe(device, this.#slot);
    this.#receiver = new Receiver(this.#connection.inbound ?? device);
  }

  /** After INIT: why the kernel does not read and write files by itself, or empty. */
  get passthroughObstacle(): string {
    const { passthrough } = this.#connection;
    if (passthrough === undefined) return 'the kernel has none (Linux 6.9, CONFIG_FUSE_PASSTHROUGH)';
    return passthrough.isAllowed ? '' : 'the kernel does not allow it';
  }

  /** Serves until the kernel ends the session: by unmount or by abort. */
  run(): void {
    while (this.step());
    this.#end();
  }

  /** As `run`, but only until the event loop of this thread is due; answers whether the session has ended. */
  runUntilDue(loop: LoopWatch): boolean {
    while (this.step()) if (loop.isDue()) return false;
    this.#end();
    return true;
  }

  #end(): void {
    this.#connection.splicer?.close();
    this.#connection.inbound?.close();
    this.#connection.fs.destroy();
  }

  /** Serves one request; answers false where the session has ended. */
  step(): boolean {
    const slot = this.#slot;
    if (this.#parked.length > 0 && this.#device.waitFor(this.#options.completions)) this.#resume();
    const length = this.#receive(slot);
    if (length === -EAGAIN && this.#connection.fs.restsAfter >= 0 && this.#parked.length === 0)
      this.#connection.fs.rest();
    if (length < 0) return this.#goesOn(-length);
    // No request is empty: the device was retired.
    if (length === 0) return false;
    if (slot.decode(length)) this.#serve(slot);
    else this.#options.log(`a request of ${length} bytes is not whole: ignored`);
    this.#connection.inbound?.load();
    return true;
  }

  /** While requests are parked, a read of the device must not wait: it would not hear that they can be answered. */
  #receive({ requestAddress, requestCapacity }: Slot): number {
    return this.#parked.length > 0
      ? this.#receiver.poll(requestAddress, requestCapacity)
      : this.#receiver.receive(requestAddress, requestCapacity, this.#connection.fs.restsAfter);
  }

  #goesOn(errno: number): boolean {
    if (errno === ENODEV || errno === ECONNABORTED) return false;
    // ENOENT: the request was interrupted before it could be read.
    if (errno === EINTR || errno === ENOENT || errno === EAGAIN) return true;
    this.#options.log(`reading requests failed with ${errnoName(errno)}: the session ends`);
    return false;
  }

  #serve(slot: Slot): void {
    const { requests } = this.#options;
    const { opcode } = slot;
    const counter = opcode < REQUEST_COUNTERS ? opcode : 0;
    requests[counter] = (requests[counter] ?? 0) + 1;
    const outcome = this.#handle(slot);
    this.#finish(slot, outcome);
  }

  #finish(slot: Slot, outcome: number): void {
    if (outcome === DEFERRED) this.#park(slot);
    else if (outcome !== NO_REPLY) this.reply(slot, outcome);
  }

  #park(slot: Slot): void {
    this.#connection.inbound?.load();
    this.#parked.push(slot.save());
  }

  /** Makes parked requests again; those that still have to wait are parked once more. */
  #resume(): void {
    const requests = this.#parked;
    this.#parked = [];
    for (const request of requests) {
      this.#slot.restore(request);
      this.#finish(this.#slot, this.#handle(this.#slot));
    }
  }

  #handle(slot: Slot): number {
    const { opcode } = slot;
    const handler = HANDLERS[opcode];
    if (handler === undefined) return SILENT[opcode] === true ? NO_REPLY : -ENOSYS;
    if (slot.length - BODY < (BODIES[opcode] ?? 0)) return -EINVAL;
    try {
      return handler(slot);
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#options.log(`request ${opcode} on node ${slot.node} failed: ${text}`);
      return -EIO;
    }
  }

  /** Sends a slot's reply; apart from the call that read the request, so that another thread may answer in its place. */
  reply(slot: Slot, outcome: number): void {
    const length = outcome < 0 ? slot.encode(outcome, 0) : slot.encode(0, outcome);
    const written = this.#device.write(slot.replyAddress, length);
    // ENOENT: nobody waits for it any longer; the others: the session has ended, which the next read says (EBADF: the
    // device was retired).
    if (written >= 0 || written === -ENOENT || written === -ENODEV || written === -ECONNABORTED || written === -EBADF)
      return;
    this.#options.log(`the kernel refused the reply to request ${slot.opcode} with ${errnoName(written)}`);
  }
}
