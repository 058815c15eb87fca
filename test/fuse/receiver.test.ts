import { describe, expect, test } from 'vitest';
import { Receiver } from '../../fs/fuse/receiver.ts';
import { EAGAIN } from '../../fs/sys/errno.ts';
import { FakeDevice } from './fake.ts';

const TRIES = 3;
const SAMPLE = 32;

// The lengths of the requests are errnos, which need no memory.
const REQUEST = -1;
const LATE = [...Array<number>(TRIES).fill(-EAGAIN), REQUEST];

function receive(requests: readonly number[], tries = TRIES): FakeDevice {
  const device = new FakeDevice(requests);
  const receiver = new Receiver(device, tries);
  const wanted = requests.filter((request) => request === REQUEST).length;
  for (let got = 0; got < wanted; got++) expect(receiver.receive(0, 0)).toBe(REQUEST);
  return device;
}

const many = (length: number): number[] => Array<number>(length).fill(REQUEST);

describe('Receiver', () => {
  test('waits in the read for the first requests', () => {
    const { nonBlocking, waits } = receive(many(SAMPLE - 1));
    expect({ nonBlocking, waits }).toEqual({ nonBlocking: [], waits: 0 });
  });

  test('tries before it waits once many requests have come', () => {
    const { nonBlocking, waits } = receive([...many(SAMPLE), -EAGAIN, REQUEST, -EAGAIN, -EAGAIN, REQUEST]);
    expect({ nonBlocking, waits }).toEqual({ nonBlocking: [true], waits: 0 });
  });

  test('sleeps, and goes on trying, where one request of many is late', () => {
    const { nonBlocking, waits } = receive([...many(SAMPLE + 8), ...LATE, ...many(8), ...LATE]);
    expect({ nonBlocking, waits }).toEqual({ nonBlocking: [true], waits: 2 });
  });

  test('waits in the read again where requests are late twice', () => {
    const { nonBlocking, waits } = receive([...many(SAMPLE), ...LATE, ...LATE, REQUEST]);
    expect({ nonBlocking, waits }).toEqual({ nonBlocking: [true, false], waits: 1 });
  });

  test('never tries where there is no other processor', () => {
    const { nonBlocking } = receive(many(10 * SAMPLE), 0);
    expect(nonBlocking).toEqual([]);
  });

  test('answers EAGAIN to one who waits for other things, too, and waits again afterwards', () => {
    const device = new FakeDevice([-EAGAIN, REQUEST]);
    const receiver = new Receiver(device, TRIES);
    expect(receiver.poll(0, 0)).toBe(-EAGAIN);
    expect(receiver.receive(0, 0)).toBe(REQUEST);
    expect(device.nonBlocking).toEqual([true, false]);
  });
});
