import { describe, expect, it } from 'vitest';
import { NodeNumbers } from '../../fs/overlay/node-numbers.ts';

/** Numbers enough for several pages. */
const MANY = 5000;

function filled(first: number, firstGeneration: number): NodeNumbers<string> {
  const numbers = new NodeNumbers<string>(first, firstGeneration);
  for (let count = 0; count < MANY; count++) {
    const number = numbers.take();
    numbers.set(number, `target of ${number}`);
  }
  return numbers;
}

describe('NodeNumbers', () => {
  it('NodeNumbers.take gives each number once, from the first on, and get what it leads to', () => {
    const entries = [...filled(1, 0).entries()];
    expect(entries).toStrictEqual(Array.from({ length: MANY }, (_, index) => [index + 1, `target of ${index + 1}`]));
  });

  it('NodeNumbers.free has a number used again, with another generation, and no other number', () => {
    const numbers = filled(1, 7);
    for (const number of [1, 1024, MANY]) numbers.free(number);
    expect(numbers.get(1024)).toBeUndefined();
    expect([numbers.take(), numbers.take(), numbers.take(), numbers.take()]).toStrictEqual([MANY, 1024, 1, MANY + 1]);
    const generations = [1, 2, 1024, 1025, MANY, MANY + 1].map((number) => numbers.generationOf(number));
    expect(generations).toStrictEqual([8, 7, 8, 7, 8, 7]);
    numbers.free(1024);
    expect(numbers.generationOf(1024)).toBe(9);
  });

  it('NodeNumbers.get has nothing for what a file handle of anywhere may say', () => {
    const numbers = filled(1, 0);
    const foreign = [0, MANY + 1, 2 ** 32 + 1, 2 ** 32 * MANY + 1, 2 ** 64 - 1];
    expect(foreign.map((number) => numbers.get(number))).toStrictEqual(foreign.map(() => undefined));
  });
});
