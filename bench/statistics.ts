/** A quotient of two medians, and the least and greatest quotient of one round. */
export interface Ratio {
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
}

/** The middle of the values, or the mean of the middle two. Throws where there is none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  if (upper === undefined || lower === undefined) throw new RangeError('the median of no values');
  return (lower + upper) / 2;
}

/** The least value that so large a part of the values does not exceed. Throws where there is none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  const found = sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)];
  if (found === undefined) throw new RangeError('a quantile of no values');
  return found;
}

/** The geometric mean: ratios multiply, so 0.5 and 2 make 1. Throws where there is no value. */
export function geometricMean(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('the geometric mean of no values');
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/**
 * The ratio of `ours` to `theirs`, where values at the same index were measured in the same round. The spread always
 * contains the ratio, as a median is monotonic.
 */
export function compare(ours: readonly number[], theirs: readonly number[]): Ratio {
  if (ours.length !== theirs.length) throw new RangeError('rounds that do not pair');
  const rounds = ours.map((value, index) => value / (theirs[index] ?? NaN));
  return { ratio: median(ours) / median(theirs), low: Math.min(...rounds), high: Math.max(...rounds) };
}

/** The list turned left by `by`, so that over the rounds every place in the order falls to every member. */
export function rotate<T>(list: readonly T[], by: number): T[] {
  const turn = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(turn), ...list.slice(0, turn)];
}
