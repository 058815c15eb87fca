import { type IdMapping } from './id-mappings.ts';

/** Ids that follow each other. */
export interface Span {
  readonly start: number;
  readonly count: number;
}

/**
 * Maps the ids from 0 to `size` to some that are free and follow each other, but for those that are mapped already.
 *
 * @param given mappings that are wanted beside, or in place of others.
 * @param taken what is not free of those that are available.
 * @returns undefined where there is no room.
 */
export function allot(
  size: number,
  given: readonly IdMapping[],
  available: readonly Span[],
  taken: readonly Span[],
): IdMapping[] | undefined {
  const rest = gaps(
    { start: 0, count: size },
    given.map(({ inside, count }) => ({ start: inside, count })),
  );
  const needed = rest.reduce((sum, { count }) => sum + count, 0);
  const place = available.flatMap((span) => gaps(span, taken)).find(({ count }) => count >= needed);
  if (place === undefined) return undefined;
  let outside = place.start;
  const mapped = rest.map(({ start, count }) => {
    outside += count;
    return { inside: start, outside: outside - count, count };
  });
  return [...mapped, ...given];
}

/** What of a span is in none of the others. */
function gaps({ start, count }: Span, others: readonly Span[]): Span[] {
  const end = start + count;
  const found: Span[] = [];
  let next = start;
  for (const other of [...others].sort((left, right) => left.start - right.start)) {
    if (other.start > next) found.push({ start: next, count: Math.min(other.start, end) - next });
    next = Math.max(next, other.start + other.count);
  }
  if (next < end) found.push({ start: next, count: end - next });
  return found.filter((gap) => gap.count > 0);
}
