import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../fs/sys/constants.ts';
import { isWhiteout, put, xattr } from './driver.ts';
import { deep, ground, isRoot, low, mount, union, use } from './setup.ts';

describe.skipIf(!isRoot)('rename in a union (needs root)', () => {
  test('rename of a lower file moves a copy and leaves a whiteout', () => {
    put(low, 'a/f', 'data');
    put(deep, 'b/g', 'other');
    mount();
    union.rename('a/f', 'b/g');
    expect(union.read('b/g')).toBe('data');
    expect(union.list('a')).toEqual([]);
    expect(isWhiteout(join(ground.upper, 'a/f'))).toBe(true);
  });

  test('rename of an upper directory onto a hidden lower one is opaque', () => {
    put(low, 'd/f', '');
    mount();
    union.unlink('d/f');
    union.rmdir('d');
    union.mkdir('new');
    union.create('new/x', '');
    union.rename('new', 'd');
    expect(union.list('d')).toEqual(['x']);
    union.create('d/y', '');
    union.close();
    mount();
    expect(union.list('d')).toEqual(['x', 'y']);
    expect(union.list('')).toEqual(['d']);
  });

  test('rename of an upper directory over an empty merged one', () => {
    put(low, 'd/f', '');
    mount();
    union.unlink('d/f');
    union.mkdir('new');
    union.create('new/x', '');
    union.rename('new', 'd');
    expect(union.list('d')).toEqual(['x']);
    union.close();
    mount();
    expect(union.list('d')).toEqual(['x']);
  });

  test('rename of a merged directory answers EXDEV with redirect_dir=off', () => {
    put(low, 'd/f', '');
    mount({ redirectDir: 'off' });
    expect(() => union.rename('d', 'e')).toThrow('EXDEV');
  });

  test('rename of merged directories holds over a remount, one in the other, there and back', () => {
    put(low, 'd/sub/f', 'f');
    put(deep, 'd/sub/g', 'g');
    put(deep, 'other/h', 'h');
    mount();
    union.rename('d/sub', 'd/moved');
    union.rename('d', 'other/e');
    union.create('other/e/moved/new', 'new');
    union.mkdir('d');
    const check = (): void => {
      expect(union.list('')).toEqual(['d', 'other']);
      expect(union.list('d')).toEqual([]);
      expect(union.list('other')).toEqual(['e', 'h']);
      expect(union.list('other/e')).toEqual(['moved']);
      expect(union.list('other/e/moved')).toEqual(['f', 'g', 'new']);
      expect(union.read('other/e/moved/g')).toBe('g');
    };
    check();
    const { ino } = union.stat('other/e/moved');
    union.close();
    mount();
    check();
    expect(union.stat('other/e/moved').ino).toBe(ino);
    expect(union.entries('other/e')[0]?.ino).toBe(ino);
    expect(xattr(join(ground.upper, 'other/e'), 'trusted.overlay.redirect')).toBe('/d');
    expect(xattr(join(ground.upper, 'other/e/moved'), 'trusted.overlay.redirect')).toBe('sub');
    union.rename('other/e/moved', 'sub');
    union.close();
    mount();
    expect(union.list('sub')).toEqual(['f', 'g', 'new']);
  });

  test('an upper with redirects is a layer like any other', () => {
    const bottom = ground.directory('bottom');
    put(bottom, 'a/b/c/f', 'f');
    put(bottom, 'x/y', '');
    use(ground.overlay([bottom]));
    union.rename('a/b', 'x/b');
    union.close();
    const second = { upper: ground.directory('u2'), work: ground.directory('w2') };
    use(ground.overlay([ground.upper, bottom], second));
    expect(union.read('x/b/c/f')).toBe('f');
    union.rename('x/b/c', 'c');
    union.close();
    use(ground.overlay([ground.upper, bottom], second));
    expect(union.read('c/f')).toBe('f');
    expect(union.list('x/b')).toEqual([]);
  });

  test('exchange of two merged directories holds over a remount', () => {
    put(low, 'a/f', 'f');
    put(low, 'b/g', 'g');
    mount();
    union.rename('a', 'b', RENAME_EXCHANGE);
    union.close();
    mount();
    expect([union.list('a'), union.list('b')]).toEqual([['g'], ['f']]);
  });

  test.each(['../escape', '/../escape', 'a/b', '/', '.'])('a redirect of %s leads nowhere', (redirect) => {
    put(low, 'd/hidden', '');
    put(ground.path, 'escape/secret', '');
    mkdirSync(join(ground.upper, 'd'));
    execFileSync('setfattr', ['-n', 'trusted.overlay.redirect', '-v', redirect, join(ground.upper, 'd')]);
    mount();
    expect(union.list('d')).toEqual([]);
  });

  test('rename with NOREPLACE answers EEXIST, with EXCHANGE swaps', () => {
    put(low, 'a', 'a');
    put(deep, 'b', 'b');
    mount();
    expect(() => union.rename('a', 'b', RENAME_NOREPLACE)).toThrow('EEXIST');
    union.rename('a', 'b', RENAME_EXCHANGE);
    expect([union.read('a'), union.read('b')]).toEqual(['b', 'a']);
    union.close();
    mount();
    expect([union.read('a'), union.read('b')]).toEqual(['b', 'a']);
  });
});
