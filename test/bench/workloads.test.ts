import { expect, test } from 'vitest';
import { WORKLOADS } from '../../bench/workloads/index.ts';

test('WORKLOADS have names that are unique and can be listed with commas', () => {
  const names = WORKLOADS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toMatch(/^[a-z0-9-]+$/);
});
