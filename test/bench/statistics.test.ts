import { expect, test } from 'vitest';
import { compare, geometricMean, median, quantile, rotate } from '../../bench/statistics.ts';

test('median takes the middle of an odd count, whatever the order', () => {
  expect(median([10, 1, 2])).toBe(2);
});

test('median takes the mean of the middle two of an even count', () => {
  expect(median([4, 1, 100, 2])).toBe(3);
});

test('median leaves its argument as it is', () => {
  const values = [3, 1, 2];
  median(values);
  expect(values).toEqual([3, 1, 2]);
});

test('median refuses an empty list', () => {
  expect(() => median([])).toThrow(RangeError);
});

test('quantile is the least value that so many do not exceed', () => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index);
  expect([0, 0.5, 0.99, 1].map((part) => quantile(values, part))).toEqual([1, 100, 198, 200]);
  expect(() => quantile([], 0.5)).toThrow(RangeError);
});

test('geometricMean of a half and a double is 1', () => {
  expect(geometricMean([0.5, 2])).toBeCloseTo(1, 12);
  expect(geometricMean([1, 10, 100])).toBeCloseTo(10, 12);
});

test('geometricMean refuses an empty list', () => {
  expect(() => geometricMean([])).toThrow(RangeError);
});

test('compare divides the medians and spreads over the rounds', () => {
  expect(compare([1, 2, 6], [2, 2, 3])).toEqual({ ratio: 1, low: 0.5, high: 2 });
});

test('compare refuses rounds that do not pair', () => {
  expect(() => compare([1, 2], [1])).toThrow(RangeError);
});

test('rotate brings each member to the front in turn', () => {
  expect([0, 1, 2, 3].map((by) => rotate(['a', 'b', 'c'], by).join(''))).toEqual(['abc', 'bca', 'cab', 'abc']);
  expect(rotate([], 2)).toEqual([]);
});
