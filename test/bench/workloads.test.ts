import { expect, test } from 'vitest';
import { DEFAULT_SIZES, parseSize, QUICK_SIZES } from '../../bench/sizes.ts';
import { createGroups } from '../../bench/workloads/index.ts';

test.each([DEFAULT_SIZES, QUICK_SIZES])(
  'createGroups gives names that are unique and can be listed with commas',
  (sizes) => {
    const groups = createGroups({ sizes, distribution: '/nowhere' });
    const names = groups.flatMap(({ name, workloads }) => [name, ...workloads.map((workload) => workload.name)]);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[a-z0-9-]+$/);
  },
);

test('createGroups gives every series at least two points, each once', () => {
  const all = createGroups({ sizes: QUICK_SIZES, distribution: '/nowhere' }).flatMap(({ workloads }) => workloads);
  const points = all.flatMap(({ point }) => (point === undefined ? [] : [point]));
  for (const series of new Set(points.map((point) => point.series))) {
    const places = points.filter((point) => point.series === series).map(({ x }) => x);
    expect(places.length).toBeGreaterThan(1);
    expect(new Set(places).size).toBe(places.length);
  }
});

test('parseSize takes a known name and a whole number', () => {
  expect(parseSize('entries=1000000')).toEqual({ entries: 1_000_000 });
  for (const text of ['entries', 'entries=0', 'entries=1e6', 'entries=-1', 'nothing=1', '__proto__=1', 'toString=2']) {
    expect(parseSize(text)).toBeUndefined();
  }
});
