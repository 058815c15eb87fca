import { availableParallelism } from 'node:os';
import { EAGAIN, EINTR } from '../sys/errno.ts';
import type { Device } from './device.ts';

/**
 * For how long (ms) a read is tried before it waits: until a program on another processor has got its answer and asked
 * again, which takes 12 us in the middle and 30 us or less in 95 of 100 cases (an untar, a make, reads of small files).
 * Longer than it costs to be put to sleep and woken, 20 us, is not worth it. By the clock, since one try takes 0.2 us here
 * and 1.1 us there. Files made and written, in us each, client and daemon on a processor each: 167 after 12 us of tries, 103
 * after 30, 148 after 50.
 */
const PATIENCE = 0.03;
/** Tries between looks at the clock. */
const TRIES = 8;

// While reads are tried.
const FULL_CREDIT = 8;
const FIRST_CREDIT = 4;
/** What a request costs that came too late; one that comes in time gives 1. */
const MISS = 3;

/**
 * While reads wait for other things, too, by a poll: one look before that, if in vain, costs a third of the poll, which it saves
 * where the program that asks has had our processor meanwhile.
 */
const HIT = 3;
const MOST_LOOKS = 12;
/** Requests until looks that were in vain are tried again. */
const LOOKLESS = 32;

/** So many requests are measured, the last ones before a change and the last ones of a trial. */
const WINDOW = 16;
/** The first requests of a trial find client and daemon where the scheduler had them before. */
const TRIAL = 24;
/** Requests until the other way is tried; doubled with each trial in vain. */
const FIRST_PERIOD = 32;
const FIRST_PERIOD_OF_TRIES = 512;
const LONGEST_PERIOD = 2048;
/** Where it takes longer (ms) until requests come, tries are in vain. */
const SLOW = 0.1;
/**
 * What is read so late (ms), though it was tried all the time, was there before: the kernel gave our processor to others, as
 * it does again and again with one who never sleeps, but not with one who mostly does. With two programs that compute beside
 * them on two processors, lookups took 25 us on average without tries and 119 with them.
 */
const STALL = 1;
const PERIOD_AFTER_STALL = 1024;
/** Tries cost processor time, and are worth it where requests come so much sooner. */
const WORTHWHILE = 0.9;

/**
 * Gets requests from the device in the way by which they come sooner. While they come fast, as from a program that asks one
 * thing after another, a read is tried for a while before it waits: to be put to sleep and woken costs more than most
 * requests. While they do not, and on a machine with a single processor, reads wait at once.
 *
 * Where other programs have the other processors, tries keep the program that asks away from ours, which a wait hands over
 * to it at once. That cannot be seen from here, so both ways are measured now and then. Lookups of names that are not
 * there, in us each: with a processor each 20 with tries and 48 without (fuse-overlayfs 33), on one and the same 9.
 */
export class Receiver {
  readonly #device: Device;
  readonly #hasTries: boolean;
  /** No read may wait. */
  readonly #isShared: boolean;
  readonly #now: () => number;
  /** The device's reads answer EAGAIN where they would wait. */
  #nonBlocking = false;
  #spins = false;
  /** Looks in vain until there are no more; negative: requests without them. */
  #looks = HIT;
  #credit = 0;
  #inTrial = false;
  #period = FIRST_PERIOD;
  /** Requests until the trial, or until its end. */
  #left = FIRST_PERIOD;
  /** How long (ms) the last requests were waited for. */
  readonly #gaps = new Float64Array(WINDOW);
  /** Their median before the trial. */
  #before = 0;

  /**
   * @param hasTries whether there is another processor for the one who asks.
   * @param now ms.
   */
  constructor(device: Device, hasTries = availableParallelism() > 1, now = (): number => performance.now()) {
    this.#device = device;
    this.#hasTries = hasTries;
    this.#isShared = device.isShared;
    this.#now = now;
  }

  /**
   * Waits for a request, and answers its length or a negative errno: EINTR where the thread has other things to do first.
   *
   * @param timeout ms, after which the answer is EAGAIN; negative: none.
   */
  receive(address: number, capacity: number, timeout = -1): number {
    this.#setNonBlocking(this.#spins || this.#isShared);
    if (!this.#hasTries) return this.#wait(address, capacity, timeout);
    const isMeasured = this.#left <= WINDOW;
    const begin = isMeasured ? this.#now() : 0;
    const length = this.#spins ? this.#spin(address, capacity, timeout) : this.#wait(address, capacity, timeout);
    if (length === -EAGAIN || length === -EINTR) return length;
    if (isMeasured) this.#gaps[this.#left % WINDOW] = this.#now() - begin;
    if (--this.#left === 0) this.#review();
    return length;
  }

  /** Answers what there is, or EAGAIN; for one who waits for other things, too. */
  poll(address: number, capacity: number): number {
    this.#setNonBlocking(true);
    return this.#device.read(address, capacity);
  }

  /** Waits at once; where that takes a call of its own, it looks first whether it has to, while that is worth it. */
  #wait(address: number, capacity: number, timeout: number): number {
    if (this.#isShared && this.#looks > 0) {
      const length = this.#device.read(address, capacity);
      if (length !== -EAGAIN) {
        this.#looks = Math.min(MOST_LOOKS, this.#looks + HIT);
        return length;
      }
    }
    if (--this.#looks < -LOOKLESS) this.#looks = HIT;
    return this.#await(address, capacity, timeout);
  }

  #await(address: number, capacity: number, timeout: number): number {
    if (timeout >= 0 || this.#nonBlocking) {
      const woken = this.#device.wait(timeout);
      if (woken <= 0) return woken === 0 ? -EAGAIN : woken;
    }
    return this.#device.read(address, capacity);
  }

  #spin(address: number, capacity: number, timeout: number): number {
    const begin = this.#now();
    const length = this.#try(address, capacity);
    if (length !== -EAGAIN) {
      if (this.#credit < FULL_CREDIT) this.#credit++;
      if (this.#now() - begin > STALL) this.#giveUp(PERIOD_AFTER_STALL);
      return length;
    }
    this.#credit -= MISS;
    if (this.#credit <= 0) this.#giveUp(this.#inTrial ? this.#period * 2 : FIRST_PERIOD);
    return this.#await(address, capacity, timeout);
  }

  /** Answers EAGAIN where nothing came for as long as it is worth it. */
  #try(address: number, capacity: number): number {
    let until = 0;
    for (let tried = 1; ; tried++) {
      const length = this.#device.read(address, capacity);
      if (length !== -EAGAIN) return length;
      if (tried % TRIES !== 0) continue;
      const now = this.#now();
      if (until === 0) until = now + PATIENCE;
      if (now >= until) return -EAGAIN;
    }
  }

  #giveUp(period: number): void {
    this.#setSpinning(false);
    this.#nextTrialAfter(period);
  }

  /** Begins a trial of the other way, or ends it. */
  #review(): void {
    const median = this.#gaps.sort()[WINDOW / 2] ?? 0;
    if (this.#inTrial) this.#decide(median);
    else if (!this.#spins && median > SLOW) this.#nextTrialAfter(FIRST_PERIOD);
    else {
      this.#before = median;
      this.#inTrial = true;
      this.#left = TRIAL;
      this.#setSpinning(!this.#spins);
    }
  }

  #decide(median: number): void {
    const [tried, waited] = this.#spins ? [median, this.#before] : [this.#before, median];
    const spins = tried < waited * WORTHWHILE;
    if (spins !== this.#spins) this.#nextTrialAfter(this.#period * 2);
    else this.#nextTrialAfter(spins ? FIRST_PERIOD_OF_TRIES : FIRST_PERIOD);
    this.#setSpinning(spins);
  }

  #nextTrialAfter(requests: number): void {
    this.#inTrial = false;
    this.#period = Math.min(requests, LONGEST_PERIOD);
    this.#left = this.#period;
  }

  #setSpinning(on: boolean): void {
    this.#spins = on;
    this.#credit = FIRST_CREDIT;
    this.#setNonBlocking(on || this.#isShared);
  }

  #setNonBlocking(on: boolean): void {
    if (this.#nonBlocking !== on) this.#device.setNonBlocking(on);
    this.#nonBlocking = on;
  }
}
