import { expect, test } from 'vitest';
import { overallRatio, summarize, type WorkloadSummary } from '../../bench/summary.ts';
import { formatDaemons, formatRatio, formatSeconds, formatTable, formatTimes } from '../../bench/table.ts';

const FIND: WorkloadSummary = {
  name: 'find',
  contenders: {
    lamina: { seconds: 0.25, cpuSeconds: 0.125, peakRssKib: 51200, requests: 42 },
    overlayfs: { seconds: 0.5 },
  },
  ratios: { overlayfs: { ratio: 0.5, low: 0.4, high: 0.75 } },
};
const MOUNT: WorkloadSummary = { name: 'mount', contenders: { lamina: { seconds: 2 } }, ratios: {} };

test('formatSeconds keeps three digits and chooses the unit', () => {
  expect([0.0012345, 0.25, 1, 12.345, 123.4].map(formatSeconds)).toEqual([
    '1.23 ms',
    '250 ms',
    '1.00 s',
    '12.35 s',
    '123 s',
  ]);
});

test('formatRatio shows the spread', () => {
  expect(formatRatio({ ratio: 0.5, low: 0.4, high: 0.754 })).toBe('0.50 (0.40..0.75)');
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

test('summarize takes medians by contender and pairs the rounds', () => {
  const daemon = { cpuSeconds: 1, peakRssKib: 100 };
  const summary = summarize({
    name: 'find',
    description: '',
    failures: {},
    measurements: {
      lamina: [
        { seconds: 1, daemon: { ...daemon, requests: 7 } },
        { seconds: 3, daemon: { ...daemon, peakRssKib: 300, requests: 9 } },
        { seconds: 2, daemon: { ...daemon, requests: 8 } },
      ],
      overlayfs: [{ seconds: 4 }, { seconds: 4 }, { seconds: 1 }],
    },
  });
  expect(summary.contenders).toEqual({
    lamina: { seconds: 2, cpuSeconds: 1, peakRssKib: 100, requests: 8 },
    overlayfs: { seconds: 4 },
  });
  expect(summary.ratios).toEqual({ overlayfs: { ratio: 0.5, low: 0.25, high: 2 } });
});

test('summarize compares with nobody where lamina failed', () => {
  const summary = summarize({
    name: '',
    description: '',
    failures: { lamina: 'x' },
    measurements: { overlayfs: [{ seconds: 1 }] },
  });
  expect(summary.ratios).toEqual({});
});

test('overallRatio is the geometric mean over the workloads that both did', () => {
  const twice = { ...FIND, ratios: { overlayfs: { ratio: 2, low: 2, high: 2 } } };
  expect(overallRatio([FIND, MOUNT, twice], 'overlayfs')).toBeCloseTo(1, 12);
  expect(overallRatio([MOUNT], 'overlayfs')).toBeUndefined();
});
