import { expect, test } from 'vitest';
import { parseCpuSeconds, parseMemory, usageOf } from '../../bench/process-usage.ts';

test('parseCpuSeconds adds user and system time after a name with blanks and parentheses', () => {
  const stat = '4711 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 12 0 99999 1 2';
  expect(parseCpuSeconds(stat)).toBe(1.75);
});

test('parseMemory reads the line of a name', () => {
  expect(parseMemory('Name:\tnode\nVmPeak:\t   9 kB\nVmHWM:\t   51234 kB\nVmRSS:\t   7 kB\n', 'VmHWM')).toBe(51234);
});

test('parseMemory says where there is none', () => {
  expect(() => parseMemory('Name:\tnode\nState:\tZ (zombie)\n', 'VmHWM')).toThrow('VmHWM');
});

test('usageOf reads a running process', () => {
  const { cpuSeconds, peakRssKib } = usageOf(process.pid);
  expect(cpuSeconds).toBeGreaterThan(0);
  expect(peakRssKib).toBeGreaterThanOrEqual(process.memoryUsage.rss() / 2048);
});
