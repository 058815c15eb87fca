import { expect, test } from 'vitest';
import { overallRatio, summarize, type WorkloadSummary } from '../../bench/summary.ts';
import { formatRatio, formatSeconds, formatTable, formatValue } from '../../bench/format.ts';
import { formatCounts, formatDaemons, formatDetails, formatPrograms, formatTimes } from '../../bench/table.ts';
import { resultOf } from './reports.ts';

const PLAIN = { description: '', unit: 'seconds', hasPrograms: false, counts: {} } as const;

const FIND: WorkloadSummary = {
  ...PLAIN,
  name: 'find',
  contenders: {
    lamina: { value: 0.25, low: 0.25, high: 0.25, cpuSeconds: 0.125, peakRssKib: 51200, requests: 42 },
    overlayfs: { value: 0.5, low: 0.5, high: 0.5 },
  },
  ratios: { 'lamina/overlayfs': { ratio: 0.5, low: 0.4, high: 0.75 } },
};
const MOUNT: WorkloadSummary = {
  ...PLAIN,
  name: 'mount',
  contenders: { lamina: { value: 2, low: 2, high: 2 } },
  ratios: {},
};

test('formatSeconds keeps three digits and chooses the unit', () => {
  expect([0.000012345, 0.0012345, 0.25, 1, 12.345, 123.4].map(formatSeconds)).toEqual([
    '12.3 us',
    '1.23 ms',
    '250 ms',
    '1.00 s',
    '12.35 s',
    '123 s',
  ]);
});

test('formatRatio shows the spread', () => {
  expect(formatRatio({ ratio: 0.5, low: 0.4, high: 0.754 })).toBe('0.50 (0.40..0.75)');
  expect(formatRatio({ ratio: 0.0033, low: 0.001, high: 0.1 })).toBe('0.0033 (0.0010..0.10)');
});

test('formatTable aligns the first column left and the others right', () => {
  expect(
    formatTable([
      ['a', 'long', ''],
      ['bcd', 'x', 'y'],
    ]),
  ).toBe('a    long\nbcd     x  y\n');
});

test('formatTimes has a row a workload, a dash where nothing was measured, and the geometric mean', () => {
  expect(formatTimes([FIND, MOUNT], ['lamina', 'overlayfs'])).toBe(
    [
      'workload        lamina  overlayfs   lamina/overlayfs',
      'find            250 ms     500 ms  0.50 (0.40..0.75)',
      'mount           2.00 s          -                  -',
      'geometric mean                                  0.50',
      '',
    ].join('\n'),
  );
});

test('formatDaemons leaves out contenders without a daemon', () => {
  expect(formatDaemons([FIND, MOUNT], ['lamina', 'overlayfs'])).toBe(
    [
      'workload  lamina CPU  peak RSS  lamina requests',
      'find          0.13 s    50 MiB               42',
      'mount              -         -                -',
      '',
    ].join('\n'),
  );
});

test('formatValue knows bytes and plain numbers', () => {
  expect([formatValue(300, 'bytes'), formatValue(3 << 20, 'bytes'), formatValue(1.5, 'times')]).toEqual([
    '300 B',
    '3.0 MiB',
    '1.50',
  ]);
});

test('formatCounts divides by the operations, and is empty where nothing was counted', () => {
  const counts = {
    lamina: { operations: 4, requests: { LOOKUP: 6, OPEN: 2 }, systemCalls: { read: 9, write: 8 } },
    'fuse-overlayfs': { requests: { OPEN: 1 } },
  };
  expect(formatCounts([MOUNT])).toBe('');
  const lines = formatCounts([{ ...FIND, counts }]).split('\n');
  expect(lines[1]?.split(/ {2,}/)).toEqual([
    'find lamina',
    '4',
    '8',
    '2.00',
    '17',
    '4.25',
    '6 LOOKUP, 2 OPEN | 9 read, 8 write',
  ]);
  expect(lines[2]?.split(/ {2,}/).slice(0, 6)).toEqual(['find fuse-overlayfs', '-', '1', '-', '-', '-']);
});

test('formatPrograms has a row a program', () => {
  const ratios = { 'lamina/node': { ratio: 4, low: 3, high: 5 } };
  const contenders = { lamina: { value: 2, low: 2, high: 2 }, node: { value: 0.5, low: 0.5, high: 0.5 } };
  expect(formatPrograms({ ...MOUNT, name: 'container', hasPrograms: true, contenders, ratios })).toBe(
    [
      'container  median          lamina/it',
      'lamina     2.00 s                  -',
      'node       500 ms  4.00 (3.00..5.00)',
      '',
    ].join('\n'),
  );
});

test('formatDetails has a line for each that has some', () => {
  const contenders = { lamina: { value: 1, low: 1, high: 1, details: { p50: 0.5, longest: 2 } } };
  expect(formatDetails([MOUNT, { ...MOUNT, contenders }])).toBe('mount, lamina: p50 500 ms, longest 2.00 s\n');
});

test('summarize takes medians by contender and pairs the rounds', () => {
  const daemon = { cpuSeconds: 1, peakRssKib: 100 };
  const summary = summarize({
    ...resultOf('find', { overlayfs: [4, 4, 1] }),
    measurements: {
      lamina: [
        { value: 1, daemon: { ...daemon, requests: { LOOKUP: 4, OPEN: 3 } } },
        { value: 3, daemon: { ...daemon, peakRssKib: 300, requests: { LOOKUP: 9 } } },
        { value: 2, details: { p50: 7 }, daemon: { ...daemon, requests: { OPEN: 8 } } },
      ],
      overlayfs: [{ value: 4 }, { value: 4 }, { value: 1 }],
    },
  });
  expect(summary.contenders).toEqual({
    lamina: { value: 2, low: 1, high: 3, cpuSeconds: 1, peakRssKib: 100, requests: 8 },
    overlayfs: { value: 4, low: 1, high: 4 },
  });
  expect(summary.ratios).toEqual({ 'lamina/overlayfs': { ratio: 0.5, low: 0.25, high: 2 } });
});

test('summarize takes the median of each detail', () => {
  const values = [1, 5, 3].map((p50) => ({ value: 1, details: { p50 } }));
  const summary = summarize({ ...resultOf('latency', {}), measurements: { lamina: values } });
  expect(summary.contenders['lamina']?.details).toEqual({ p50: 3 });
});

test('summarize compares with nobody where lamina failed', () => {
  expect(summarize({ ...resultOf('find', { overlayfs: [1] }), failures: { lamina: 'x' } }).ratios).toEqual({});
});

test('overallRatio is the geometric mean over the times that both took', () => {
  const ratios = { 'lamina/overlayfs': { ratio: 2, low: 2, high: 2 } };
  const twice = { ...FIND, ratios };
  const memory: WorkloadSummary = { ...twice, unit: 'bytes' };
  expect(overallRatio([FIND, MOUNT, twice, memory], 'lamina/overlayfs')).toBeCloseTo(1, 12);
  expect(overallRatio([MOUNT], 'lamina/overlayfs')).toBeUndefined();
});
