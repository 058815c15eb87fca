import { describe, expect, test } from 'vitest';
import { inodeNumber, scatteredNumber } from '../../fs/sys/inode-number.ts';

describe('inodeNumber', () => {
  test('is the number itself below 2^52', () => {
    expect(inodeNumber(0xffffffff, 0)).toBe(2 ** 32 - 1);
    expect(inodeNumber(5, 0x12345)).toBe(0x12345 * 2 ** 32 + 5);
    expect(inodeNumber(0xffffffff, 0xfffff)).toBe(2 ** 52 - 1);
  });

  test('is between 2^52 and 2^53 beyond, and no two meet', () => {
    const numbers = new Set<number>();
    for (let index = 0; index < 100_000; index++) numbers.add(inodeNumber(index, 0x80000000));
    for (let index = 0; index < 100_000; index++) numbers.add(inodeNumber(7, 0x100000 + index));
    expect(numbers.size).toBe(200_000);
    expect([...numbers].every((number) => number >= 2 ** 52 && number < 2 ** 53 && Number.isInteger(number))).toBe(
      true,
    );
  });
});

describe('scatteredNumber', () => {
  test('tells equal numbers of several filesystems apart, and is always the same', () => {
    const numbers = new Set<number>();
    for (let ino = 0; ino < 1000; ino++) {
      for (let filesystem = 0; filesystem < 100; filesystem++) numbers.add(scatteredNumber(2 ** 40 + ino, filesystem));
    }
    expect(numbers.size).toBe(100_000);
    expect(scatteredNumber(2 ** 40, 3)).toBe(scatteredNumber(2 ** 40, 3));
  });
});
