import { readFileSync } from 'node:fs';
import { release, setPriority } from 'node:os';
import { describe, expect, test } from 'vitest';
import { setTimeSlice } from '../../fs/sys/thread.ts';
import { titled } from '../support/requirements.ts';

const SLICE = 200_000;
const NICE = 3;
/** What the kernel calls nice 0. */
const MIDDLE = 120;

/** A number of what the kernel tells of this process's main thread. */
function scheduled(name: string): number {
  const line = readFileSync('/proc/self/sched', 'latin1')
    .split('\n')
    .find((text) => text.startsWith(`${name} `));
  return Number(line?.split(':')[1]);
}

function missing(): string | undefined {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (major < 6 || (major === 6 && minor < 12)) return 'needs Linux 6.12';
  try {
    return Number.isNaN(scheduled('se.slice')) ? 'needs se.slice in /proc/self/sched' : undefined;
  } catch {
    return 'needs /proc/self/sched';
  }
}

const reason = missing();

describe.skipIf(reason !== undefined)(titled('setTimeSlice', reason), () => {
  test('has the calling thread asked for the processor so long at a time, and its nice value and policy left alone', () => {
    setPriority(NICE);
    const policy = scheduled('policy');
    expect(setTimeSlice(SLICE)).toBe(0);
    expect(scheduled('se.slice')).toBe(SLICE);
    expect(scheduled('prio')).toBe(MIDDLE + NICE);
    expect(scheduled('policy')).toBe(policy);
  });
});
