import { expect, test } from 'vitest';
import { COUNTER } from '../../fs/overlay/options.ts';
import { createCounters, readCounters } from '../../fs/stats.ts';

test('readCounters tells of more bytes than 32 bits hold', () => {
  const counters = createCounters();
  counters.overlay[COUNTER.copyUpBytes] = 2 ** 31 - 1;
  const { overlay } = counters;
  for (let file = 0; file < 3; file++) {
    overlay[COUNTER.copyUpBytes] = (overlay[COUNTER.copyUpBytes] ?? 0) + 2 ** 31;
  }
  expect(readCounters(counters).overlay.copyUpBytes).toBe(2 ** 33 - 1);
});
