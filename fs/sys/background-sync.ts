import { EAGAIN } from './errno.ts';
import { bind, result, syscallNumber } from './libc.ts';
import { Memory } from './memory.ts';

// fsync(2) and fdatasync(2) by threads of the kernel's (io_submit(2), linux/aio_abi.h; of files since Linux 4.18). An eventfd
// tells when one is done.

const nativeSetup = bind('long syscall(long number, unsigned int events, uintptr_t context)');
const nativeDestroy = bind('long syscall(long number, uintptr_t context)');
const nativeSubmit = bind('long syscall(long number, uintptr_t context, long count, uintptr_t controls)');
const nativeGetEvents = bind(
  'long syscall(long number, uintptr_t context, long least, long most, uintptr_t events, uintptr_t timeout)',
);

const IOCB_CMD_FSYNC = 2;
const IOCB_CMD_FDSYNC = 3;
const IOCB_FLAG_RESFD = 1;

/** `struct iocb`, behind the pointer to it that io_submit(2) takes. */
const CONTROL = { data: 8, opcode: 24, fd: 28, flags: 64, eventfd: 68, sizeof: 72 } as const;
/** `struct io_event`. */
const EVENT = { data: 0, result: 16, sizeof: 32 } as const;

const MAX_SYNCS = 64;
/** In the place of a result, which is 0 or a negative errno. */
const FREE = 2;
const RUNNING = 1;

const context = new Memory(8);
const NO_WAIT = new Memory(16);

/** Files that are being brought to the disk. */
export class BackgroundSync {
  readonly #context: number;
  readonly #control = new Memory(CONTROL.sizeof);
  readonly #events = new Memory(EVENT.sizeof * MAX_SYNCS);
  readonly #results = new Int32Array(MAX_SYNCS).fill(FREE);

  private constructor(ioContext: number, eventfd: number) {
    this.#context = ioContext;
    const { view, address } = this.#control;
    const control = address + CONTROL.data;
    view.setUint32(0, control >>> 0, true);
    view.setUint32(4, Math.floor(control / 0x100000000), true);
    view.setUint32(CONTROL.flags, IOCB_FLAG_RESFD, true);
    view.setUint32(CONTROL.eventfd, eventfd, true);
  }

  /**
   * @param eventfd added to whenever one is done.
   * @returns undefined where the kernel has none of this, or no more.
   */
  static open(eventfd: number): BackgroundSync | undefined {
    context.view.setBigUint64(0, 0n, true);
    const done = result(nativeSetup(syscallNumber('io_setup'), MAX_SYNCS, context.address));
    return done < 0 ? undefined : new BackgroundSync(Number(context.view.getBigUint64(0, true)), eventfd);
  }

  /** Begins one; answers its number, or a negative errno. The descriptor may be closed before it is done. */
  begin(fd: number, dataOnly: boolean): number {
    const number = this.#results.indexOf(FREE);
    if (number < 0) return -EAGAIN;
    const { view, address } = this.#control;
    view.setUint32(CONTROL.data, number, true);
    view.setUint16(CONTROL.opcode, dataOnly ? IOCB_CMD_FDSYNC : IOCB_CMD_FSYNC, true);
    view.setInt32(CONTROL.fd, fd, true);
    const begun = result(nativeSubmit(syscallNumber('io_submit'), this.#context, 1, address));
    if (begun < 0) return begun;
    this.#results[number] = RUNNING;
    return number;
  }

  /** Undefined, or the result, 0 or a negative errno, after which the number is free again. */
  take(number: number): number | undefined {
    if (this.#results[number] === RUNNING) this.#gather();
    const outcome = this.#results[number];
    if (outcome === RUNNING || outcome === undefined) return undefined;
    this.#results[number] = FREE;
    return outcome;
  }

  #gather(): void {
    const { view, address } = this.#events;
    const number = syscallNumber('io_getevents');
    const count = result(nativeGetEvents(number, this.#context, 0, MAX_SYNCS, address, NO_WAIT.address));
    for (let at = 0; at < count; at++) {
      const event = at * EVENT.sizeof;
      this.#results[view.getUint32(event + EVENT.data, true)] = view.getInt32(event + EVENT.result, true);
    }
  }

  /** Gives up what the kernel keeps for it; waits for those that are running. */
  close(): void {
    result(nativeDestroy(syscallNumber('io_destroy'), this.#context));
  }
}
