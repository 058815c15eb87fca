import { expect, test } from 'vitest';
import { compareReports, formatChanges, isSlower } from '../../bench/compare.ts';
import { reportOf, resultOf } from './reports.ts';

const OLD = reportOf([resultOf('find', { lamina: [1, 1.1, 0.9], overlayfs: [1, 1, 1], 'fuse-overlayfs': [2, 2, 2] })]);

const verdictOf = (times: Parameters<typeof resultOf>[1]): string | undefined =>
  compareReports(OLD, reportOf([resultOf('find', times)]))[0]?.verdict;

test('compareReports calls slower what is so against every peer, in all rounds', () => {
  expect(verdictOf({ lamina: [1.5, 1.6, 1.4], overlayfs: [1, 1, 1], 'fuse-overlayfs': [2, 2, 2] })).toBe('slower');
  expect(verdictOf({ lamina: [0.5, 0.6, 0.4], overlayfs: [1, 1, 1], 'fuse-overlayfs': [2, 2, 2] })).toBe('faster');
});

test('compareReports calls the same what the spreads of both share', () => {
  expect(verdictOf({ lamina: [1.5, 1.6, 1.05], overlayfs: [1, 1, 1], 'fuse-overlayfs': [2, 2, 2] })).toBe('same');
});

test('compareReports takes no slower machine for a slower lamina', () => {
  expect(verdictOf({ lamina: [2, 2.2, 1.8], overlayfs: [2, 2, 2], 'fuse-overlayfs': [4, 4, 4] })).toBe('same');
});

test('compareReports does not blame lamina where only one peer got faster', () => {
  expect(verdictOf({ lamina: [1, 1.1, 0.9], overlayfs: [0.5, 0.5, 0.5], 'fuse-overlayfs': [2, 2, 2] })).toBe('same');
});

test('compareReports leaves out what only one report has', () => {
  expect(compareReports(OLD, reportOf([resultOf('other', { lamina: [1, 1, 1] })]))).toEqual([]);
});

test('compareReports refuses single rounds and other sizes', () => {
  expect(() => compareReports(OLD, reportOf([], 1))).toThrow('one round');
  const other = { ...reportOf([]), sizes: { ...OLD.sizes, entries: 7 } };
  expect(() => compareReports(OLD, other)).toThrow('entries');
});

test('formatChanges shows the ratios of what changed and counts', () => {
  const slower = resultOf('find', { lamina: [3, 3, 3], overlayfs: [1, 1, 1] });
  const changes = compareReports(OLD, reportOf([slower]));
  expect(changes.some(isSlower)).toBe(true);
  expect(formatChanges(changes)).toBe(
    [
      'change                   ratio             before              after',
      'slower: find  lamina/overlayfs  1.00 (0.90..1.10)  3.00 (3.00..3.00)',
      '1 workloads compared: 1 slower, 0 faster beyond noise',
      '',
    ].join('\n'),
  );
});
