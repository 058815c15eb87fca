import { execFileSync } from 'node:child_process';
import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CHANGE } from '../../fs/filesystem.ts';
import { formatMetacopy } from '../../fs/overlay/verity.ts';
import { put } from './driver.ts';
import { deep, ground, isRoot, low, mount, union } from './setup.ts';

const SHA256 = { algorithm: 1, bytes: '\xab'.repeat(32) };

// What holds on filesystems without fs-verity, as most are: nothing is read that could not be verified.
describe.skipIf(!isRoot)('verity (needs root)', () => {
  /** A metacopy in the topmost lower layer, its data in the one below. */
  function metacopy(value: string): void {
    put(low, 'd/f', '');
    put(deep, 'd/data', 'data');
    truncateSync(join(low, 'd/f'), 4);
    const hex = `0x${Buffer.from(value, 'latin1').toString('hex')}`;
    execFileSync('setfattr', ['-n', 'trusted.overlay.metacopy', '-v', hex, join(low, 'd/f')]);
    execFileSync('setfattr', ['-n', 'trusted.overlay.redirect', '-v', '/d/data', join(low, 'd/f')]);
  }

  function remount(options: object): void {
    union.close();
    mount({ metacopy: true, ...options });
  }

  test('a digest that the data has not is EIO where digests count', () => {
    metacopy(formatMetacopy(SHA256));
    mount({ metacopy: true });
    expect(union.read('d/f')).toBe('data');
    for (const verity of ['on', 'require']) {
      remount({ verity });
      expect(() => union.read('d/f')).toThrow('EIO');
      expect(() => union.write('d/f', 'x', 1)).toThrow('EIO');
    }
  });

  test('no digest is enough for verity=on, and EIO for verity=require', () => {
    metacopy('');
    mount({ metacopy: true, verity: 'on' });
    expect(union.read('d/f')).toBe('data');
    remount({ verity: 'require' });
    expect(() => union.read('d/f')).toThrow('EIO');
  });

  test('without a digest of the data, verity=require copies it up whole', () => {
    put(low, 'd/whole', 'x'.repeat(100_000));
    mount({ metacopy: true, verity: 'require' });
    union.change('d/whole', { valid: CHANGE.mode, mode: 0o600 });
    expect(union.read('d/whole').slice(0, 3)).toBe('xxx');
    expect(() => execFileSync('getfattr', ['-n', 'trusted.overlay.metacopy', join(ground.upper, 'd/whole')])).toThrow();
  });

  test('a metacopy xattr of an unknown form is EIO with any option', () => {
    metacopy('\x07\x04\0\0');
    mount({ metacopy: true });
    expect(() => union.read('d/f')).toThrow('EIO');
  });
});
