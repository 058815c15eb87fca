import type { EventLoop } from '../sys/event-loop.ts';
import { PollSet } from '../sys/event.ts';

/** Requests between two looks at the loop, which take a system call, while there is always a next one. */
const REQUESTS = 64;
const LONGEST = 0x7fffffff;
/** Turns of a loop that always has something to do by itself, after which it must wait for the next one. */
const BUSY_TURNS = 100;

/** Whether the event loop of the thread that serves has something to do, for which it then gets a turn. */
export class LoopWatch {
  readonly fd: number;
  readonly #loop: Pick<EventLoop, 'fd' | 'timeout'>;
  readonly #ready: PollSet;
  readonly #isAwaited: () => boolean;
  readonly #now: () => number;
  #isDue = false;
  /** When the loop is due at the latest, in ms. */
  #deadline = Infinity;
  #left = REQUESTS;
  #busyTurns = 0;

  /**
   * @param isAwaited whether something is under way in which every request finds the loop due that it may.
   * @param now ms.
   */
  constructor(
    loop: Pick<EventLoop, 'fd' | 'timeout'>,
    isAwaited = (): boolean => false,
    now = (): number => performance.now(),
  ) {
    this.fd = loop.fd;
    this.#loop = loop;
    this.#ready = new PollSet([loop.fd]);
    this.#isAwaited = isAwaited;
    this.#now = now;
  }

  /** To be called at the end of each of the loop's turns: what it waits for changes in no other way. */
  begin(): void {
    let timeout = this.#loop.timeout();
    this.#busyTurns = timeout === 0 ? this.#busyTurns + 1 : 0;
    // A millisecond: a mount that nobody uses must not take the processor's time, whatever the loop says.
    if (this.#busyTurns > BUSY_TURNS) timeout = 1;
    this.#isDue = false;
    this.#deadline = timeout < 0 ? Infinity : this.#now() + timeout;
    this.#left = REQUESTS;
  }

  /** For how long (ms, as poll(2) takes it) may be waited at most, where it would be as long as `timeout`. */
  bound(timeout: number): number {
    if (this.#deadline === Infinity) return timeout;
    const left = Math.min(LONGEST, Math.max(0, Math.ceil(this.#deadline - this.#now())));
    return timeout < 0 ? left : Math.min(left, timeout);
  }

  /**
   * Tells how a wait has ended: by the loop where `isReady`, or by its time where `isOver`. Answers whether the loop is due.
   */
  woken(isReady: boolean, isOver: boolean): boolean {
    return (this.#isDue ||= isReady || (isOver && this.#now() >= this.#deadline));
  }

  /** To be asked after each request: whether the loop is due. */
  isDue(): boolean {
    if (!this.#isDue && (--this.#left <= 0 || this.#isAwaited())) {
      this.#left = REQUESTS;
      this.woken(this.#ready.wait(0) > 0, true);
    }
    return this.#isDue;
  }
}
