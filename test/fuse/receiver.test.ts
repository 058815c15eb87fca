import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { describe, expect, test } from 'vitest';
import { Receiver } from '../../fs/fuse/receiver.ts';
import { EAGAIN } from '../../fs/sys/errno.ts';
import { preemptions } from '../../fs/sys/thread.ts';
import { FakeDevice } from './fake.ts';

const TRIES = 3;
const SAMPLE = 32;
const SHARED_SAMPLE = 1024;
const CHECK = 16;

// The lengths of the requests are errnos, which need no memory.
const REQUEST = -1;
const LATE = [...Array<number>(TRIES).fill(-EAGAIN), REQUEST];

function receive(requests: readonly number[], tries = TRIES, preempted = (): number => 0): FakeDevice {
  const device = new FakeDevice(requests);
  const receiver = new Receiver(device, tries, preempted);
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

  test('waits in the read where tries keep the one who asks from its processor, and looks again much later', () => {
    let seen = 0;
    const often = (): number => (seen += CHECK / 2);
    expect(receive(many(SAMPLE + CHECK - 1 + SHARED_SAMPLE - 1), TRIES, often).nonBlocking).toEqual([true, false]);
    expect(receive(many(SAMPLE + CHECK - 1 + SHARED_SAMPLE), TRIES, often).nonBlocking).toEqual([true, false, true]);
  });

  test('goes on trying where it is preempted now and then', () => {
    let seen = 0;
    const rarely = (): number => (seen += CHECK / 2 - 1);
    expect(receive(many(SAMPLE + 10 * CHECK), TRIES, rarely).nonBlocking).toEqual([true]);
  });

  test('never tries where there is no other processor', () => {
    const { nonBlocking } = receive(many(10 * SAMPLE), 0);
    expect(nonBlocking).toEqual([]);
  });

  test('answers EAGAIN to one who waits for other things, too, and waits again afterwards', () => {
    const device = new FakeDevice([-EAGAIN, REQUEST]);
    const receiver = new Receiver(device, TRIES, () => 0);
    expect(receiver.poll(0, 0)).toBe(-EAGAIN);
    expect(receiver.receive(0, 0)).toBe(REQUEST);
    expect(device.nonBlocking).toEqual([true, false]);
  });
});

test('preemptions counts how often the processor was taken from this thread', () => {
  const before = preemptions();
  // A thread that does nothing else loses its processor to others by and by.
  const rivals = Array.from({ length: 2 * availableParallelism() }, () => spawn('sh', ['-c', 'while :; do :; done']));
  try {
    while (preemptions() === before);
  } finally {
    for (const rival of rivals) rival.kill('SIGKILL');
  }
  expect(preemptions()).toBeGreaterThan(before);
});
