import { describe, expect, test } from 'vitest';
import { Receiver } from '../../fs/fuse/receiver.ts';
import { EAGAIN } from '../../fs/sys/errno.ts';
import { FakeDevice } from './fake.ts';

const TRIAL = 24;
const FIRST_PERIOD = 32;
const FIRST_PERIOD_OF_TRIES = 512;
const LONGEST_PERIOD = 2048;
const PERIOD_AFTER_STALL = 1024;
/** More than the time for tries, in ms. */
const LATE = 0.05;

// The lengths of the requests are errnos, which need no memory.
const REQUEST = -1;

/** How long (ms) a request takes to come, by the way in which it is got. */
interface Gaps {
  readonly tried: number;
  readonly waited: number;
  /** For how long the next try stands still. */
  readonly stall?: number;
}

/** A kernel with a clock, on which a try takes 1 us. */
class TimedDevice extends FakeDevice {
  now = 0;
  gaps: Gaps;
  #asked = 0;
  #isNonBlocking = false;
  #isThere = false;

  constructor(gaps: Gaps) {
    super();
    this.gaps = gaps;
  }

  override read(): number {
    if (!this.#isNonBlocking) this.wait();
    else this.now += this.#stall() + 0.001;
    if (!this.#isThere && this.now - this.#asked < this.gaps.tried) return -EAGAIN;
    this.#isThere = false;
    this.#asked = this.now;
    return REQUEST;
  }

  #stall(): number {
    const { stall = 0, ...gaps } = this.gaps;
    this.gaps = gaps;
    return stall;
  }

  override wait(): number {
    if (this.#isNonBlocking) this.waits += 1;
    this.now += this.gaps.waited;
    this.#isThere = true;
    return 1;
  }

  override setNonBlocking(on: boolean): void {
    super.setNonBlocking(on);
    this.#isNonBlocking = on;
  }
}

function begin(gaps: Gaps, hasTries = true): { device: TimedDevice; receive: (requests: number) => boolean[] } {
  const device = new TimedDevice(gaps);
  const receiver = new Receiver(device, hasTries, () => device.now);
  const receive = (requests: number): boolean[] => {
    for (let got = 0; got < requests; got++) expect(receiver.receive(0, 0)).toBe(REQUEST);
    return device.nonBlocking.splice(0);
  };
  return { device, receive };
}

const APART: Gaps = { tried: 0.012, waited: 0.04 };
const TOGETHER: Gaps = { tried: 0.012, waited: 0.004 };

describe('Receiver', () => {
  test('waits in the read for the first requests, then tries, and goes on where they come sooner so', () => {
    const { receive } = begin(APART);
    expect(receive(FIRST_PERIOD - 1)).toEqual([]);
    expect(receive(1)).toEqual([true]);
    expect(receive(TRIAL + FIRST_PERIOD_OF_TRIES - 1)).toEqual([]);
  });

  test('waits again where requests come later by tries, and tries twice as rarely each time', () => {
    const { receive } = begin(TOGETHER);
    for (const period of [32, 64, 128, 256, 512, 1024, LONGEST_PERIOD, LONGEST_PERIOD]) {
      expect(receive(period - 1)).toEqual([]);
      expect(receive(1)).toEqual([true]);
      expect(receive(TRIAL)).toEqual([false]);
    }
  });

  test('waits where tries gain less than their processor time is worth', () => {
    const { receive } = begin({ tried: 0.019, waited: 0.02 });
    expect(receive(FIRST_PERIOD + TRIAL + 2 * FIRST_PERIOD - 1)).toEqual([true, false]);
  });

  test('looks whether a wait has become the faster way, and back', () => {
    const { device, receive } = begin(APART);
    expect(receive(FIRST_PERIOD + TRIAL)).toEqual([true]);
    expect(receive(FIRST_PERIOD_OF_TRIES + TRIAL)).toEqual([false, true]);
    device.gaps = TOGETHER;
    expect(receive(2 * FIRST_PERIOD_OF_TRIES + TRIAL)).toEqual([false]);
    device.gaps = APART;
    expect(receive(FIRST_PERIOD + TRIAL)).toEqual([true]);
  });

  test('never tries where requests come slowly', () => {
    const { receive } = begin({ tried: 1, waited: 1 });
    expect(receive(10 * FIRST_PERIOD)).toEqual([]);
  });

  test('sleeps, and goes on trying, where one request of many is late', () => {
    const { device, receive } = begin(APART);
    receive(FIRST_PERIOD + TRIAL);
    for (let time = 0; time < 3; time++) {
      device.gaps = { ...APART, tried: LATE };
      expect(receive(1)).toEqual([]);
      device.gaps = APART;
      expect(receive(8)).toEqual([]);
    }
    expect(device.waits).toBe(3);
  });

  test('waits in the read again where requests are late in a row', () => {
    const { device, receive } = begin(APART);
    receive(FIRST_PERIOD + TRIAL);
    device.gaps = { tried: LATE, waited: LATE };
    expect(receive(3)).toEqual([false]);
    expect(device.waits).toBe(1);
  });

  test('waits for a long time where its processor was given to others', () => {
    const { device, receive } = begin(APART);
    receive(FIRST_PERIOD + TRIAL);
    device.gaps = { ...APART, stall: 0.9 };
    expect(receive(1)).toEqual([]);
    device.gaps = { ...APART, stall: 1.1 };
    expect(receive(1)).toEqual([false]);
    expect(receive(PERIOD_AFTER_STALL - 2)).toEqual([]);
    expect(receive(1)).toEqual([true]);
  });

  test('never tries where there is no other processor', () => {
    const { receive } = begin(APART, false);
    expect(receive(10 * FIRST_PERIOD)).toEqual([]);
  });

  test('answers EAGAIN to one who waits for other things, too, and waits again afterwards', () => {
    const device = new FakeDevice([-EAGAIN, REQUEST]);
    const receiver = new Receiver(device, true);
    expect(receiver.poll(0, 0)).toBe(-EAGAIN);
    expect(receiver.receive(0, 0)).toBe(REQUEST);
    expect(device.nonBlocking).toEqual([true, false]);
  });

  test('answers EAGAIN when the time is over, which is no request', () => {
    const device = new FakeDevice(Array<number>(2 * FIRST_PERIOD).fill(-EAGAIN));
    const receiver = new Receiver(device, true);
    for (let time = 0; time < 2 * FIRST_PERIOD; time++) expect(receiver.receive(0, 0, 1)).toBe(-EAGAIN);
    expect({ waits: device.waits, nonBlocking: device.nonBlocking }).toEqual({
      waits: 2 * FIRST_PERIOD,
      nonBlocking: [],
    });
  });
});
