import { describe, expect, test } from 'vitest';
import { DirectoryIndex, type IndexEntry, UPPER } from '../../fs/overlay/directory-index.ts';
import { DT_DIR, DT_REG } from '../../fs/sys/constants.ts';

/** Twice as many as leave holes before places are made anew. */
const MANY = 3000;
/** Every so many names are in the layers below, too. */
const BELOW = 3;

const isBelow = (number: number): boolean => number % BELOW === 0;

/** `n0`, `n1` ...: all in the upper; of every third a directory in the first and third lower layer as well. */
function filled(): DirectoryIndex {
  const index = new DirectoryIndex();
  for (let number = 0; number < MANY; number++) {
    const entry = index.edit(`n${number}`);
    entry.addUpper(isBelow(number) ? DT_DIR : DT_REG, number + 1, false);
    if (isBelow(number))
      for (const position of [1, 3]) entry.addLower(position, DT_DIR, MANY + number * position, false);
  }
  index.trim();
  return index;
}

/** What an entry says, in one line. */
function told(entry: IndexEntry | undefined): string {
  if (entry === undefined) return 'nothing';
  const { visible, inUpper, upperType, upperIno, lowerVisible, lowerType, lowerIno, lower, more } = entry;
  return JSON.stringify({ visible, inUpper, upperType, upperIno, lowerVisible, lowerType, lowerIno, lower, more });
}

function expected(number: number): string {
  const upper = { visible: true, inUpper: true, upperType: isBelow(number) ? DT_DIR : DT_REG, upperIno: number + 1 };
  const lower = isBelow(number)
    ? { lowerVisible: true, lowerType: DT_DIR, lowerIno: MANY + number, lower: 1, more: [3] }
    : { lowerVisible: false, lowerType: 0, lowerIno: 0, lower: UPPER - 1 };
  return JSON.stringify({ ...upper, ...lower });
}

const numbers = Array.from({ length: MANY }, (_, number) => number);

describe('DirectoryIndex', () => {
  test('DirectoryIndex.edit keeps what the layers have of each name apart', () => {
    const index = filled();
    expect(numbers.map((number) => told(index.get(`n${number}`)))).toEqual(numbers.map(expected));
    expect(told(index.get('absent'))).toBe('nothing');
    expect([index.size, index.subdirectories]).toEqual([MANY, MANY / BELOW]);
  });

  test('DirectoryIndex.removeUpper leaves what is below, and all others, however many names have gone', () => {
    const index = filled();
    const { order } = index;
    const before = [...order];
    const held = index.get(`n${MANY - 1}`);
    for (const number of numbers) if (number < MANY - 1) index.removeUpper(`n${number}`);
    expect(told(held)).toBe(expected(MANY - 1));
    const left = numbers.filter((number) => isBelow(number) || number === MANY - 1);
    expect([...index].map(([name]) => name)).toEqual(left.map((number) => `n${number}`));
    const lowers = left.slice(0, -1).map((number) => index.get(`n${number}`));
    expect(lowers.map((entry) => [entry?.inUpper, entry?.lowerIno, entry?.more])).toEqual(
      left.slice(0, -1).map((number) => [false, MANY + number, [3]]),
    );
    expect(index.subdirectories).toBe(MANY / BELOW);
    // Places were made anew: who lists it goes on with the former ones, of which some have become holes.
    expect(index.order).not.toBe(order);
    for (const [name, entry] of index) expect(index.order[entry.place]).toBe(name);
    expect(order).toHaveLength(MANY);
    expect(order.every((name, place) => name === undefined || name === before[place])).toBe(true);
  });
});
