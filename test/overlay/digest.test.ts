import { describe, expect, test } from 'vitest';
import { formatMetacopy, objection, parseMetacopy } from '../../fs/overlay/verity.ts';

const SHA256 = { algorithm: 1, bytes: '\xab'.repeat(32) };
const OTHER = { algorithm: 1, bytes: '\xac'.repeat(32) };

describe('parseMetacopy', () => {
  test('reads struct ovl_metacopy as overlayfs writes it', () => {
    expect(parseMetacopy(`\0\x24\0\x01${SHA256.bytes}`)).toEqual(SHA256);
    expect(parseMetacopy(`\0\x44\0\x02${'\xcd'.repeat(64)}`)).toEqual({ algorithm: 2, bytes: '\xcd'.repeat(64) });
  });

  test('takes an empty value, and one of algorithm 0, for no digest', () => {
    expect(parseMetacopy('')).toBe('none');
    expect(parseMetacopy('\0\x04\0\0')).toBe('none');
  });

  test.each([
    ['too short', '\0\x03\0'],
    ['of another version', `\x01\x24\0\x01${SHA256.bytes}`],
    ['shorter than it says', `\0\x24\0\x01${SHA256.bytes.slice(1)}`],
    ['longer than it says', `\0\x24\0\x01${SHA256.bytes}x`],
    ['longer than any digest', `\0\x45\0\x01${'x'.repeat(65)}`],
  ])('refuses one that is %s', (_name, value) => {
    expect(parseMetacopy(value)).toBe('invalid');
  });

  test('reads what formatMetacopy writes', () => {
    expect(parseMetacopy(formatMetacopy(SHA256))).toEqual(SHA256);
    expect(formatMetacopy(undefined)).toBe('');
  });
});

describe('objection', () => {
  test('lets data of the digest named through, and data of none where none is required', () => {
    expect(objection(SHA256, SHA256, true)).toBe('');
    expect(objection('none', undefined, false)).toBe('');
  });

  test.each([
    [SHA256, OTHER, false, 'its data has another fs-verity digest than it names'],
    [SHA256, { ...SHA256, algorithm: 2 }, false, 'its data has another fs-verity digest than it names'],
    [SHA256, undefined, false, 'its data has no fs-verity digest'],
    ['none', SHA256, true, 'verity=require is set, and it names no digest'],
    ['invalid', SHA256, false, 'its metacopy xattr is not of a form that is known'],
  ] as const)('is raised against %j with data of %j', (expected, actual, isRequired, reason) => {
    expect(objection(expected, actual, isRequired)).toBe(reason);
  });
});
