import { execFileSync } from 'node:child_process';
import { linkSync, lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { put } from './driver.ts';
import { deep, ground, isRoot, low, mount, union, use } from './setup.ts';

const mounted: string[] = [];

function mountTmpfs(path: string, options: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path]);
  mounted.push(path);
}

afterEach(() => {
  for (const path of mounted.splice(0).reverse()) execFileSync('umount', ['-l', path]);
});

/** A union whose upper has no room for another inode. */
function mountFull(): void {
  const full = ground.directory('full');
  mountTmpfs(full, 'nr_inodes=60,size=10m');
  const options = { upper: ground.directory('full/upper'), work: ground.directory('full/work') };
  use(ground.overlay([low, deep], options));
  for (const name of ['a', 'b', 'd/c']) union.write(name, `upper ${name}`, 0o1001);
  expect(() => {
    for (let at = 0; ; at++) writeFileSync(join(full, `filler${at}`), '');
  }).toThrow('ENOSPC');
}

describe.skipIf(!isRoot)('a union in adversity (needs root)', () => {
  test.each(['/..\0/..\0/escape', '..\0', '/d\0/x'])('a redirect of %j leads nowhere', (redirect) => {
    put(ground.path, 'escape/secret', '');
    put(low, 'd/hidden', '');
    put(ground.upper, 'd/shown', '');
    const hex = `0x${Buffer.from(redirect).toString('hex')}`;
    execFileSync('setfattr', ['-n', 'trusted.overlay.redirect', '-v', hex, join(ground.upper, 'd')]);
    mount();
    expect(union.list('d')).toEqual(['shown']);
  });

  test('a metacopy of a lower layer is unreadable unless metacopy=on', () => {
    put(deep, 'd/f', 'data');
    put(low, 'd/f', '');
    execFileSync('setfattr', ['-n', 'trusted.overlay.metacopy', join(low, 'd/f')]);
    execFileSync('setfattr', ['-n', 'trusted.overlay.impure', '-v', 'y', join(low, 'd')]);
    mount();
    expect(() => union.read('d/f')).toThrow('EPERM');
    union.close();
    mount({ metacopy: true });
    expect(union.read('d/f')).toBe('data');
  });

  test('files of a filesystem that is mounted inside a layer are their own', () => {
    const layer = ground.directory('layer');
    mountTmpfs(layer, 'size=1m');
    put(layer, 'a', 'of the layer');
    linkSync(join(layer, 'a'), join(layer, 'b'));
    mkdirSync(join(layer, 'sub'));
    mountTmpfs(join(layer, 'sub'), 'size=1m');
    put(layer, 'sub/x', 'of another');
    expect(lstatSync(join(layer, 'sub/x')).ino).toBe(lstatSync(join(layer, 'a')).ino);
    use(ground.overlay([layer]));
    expect(union.read('a')).toBe('of the layer');
    expect(union.read('sub/x')).toBe('of another');
    expect(union.stat('sub/x').ino).not.toBe(union.stat('a').ino);
    union.write('sub/x', 'changed', 0o1001);
    expect([union.read('a'), union.read('b'), union.read('sub/x')]).toEqual([
      'of the layer',
      'of the layer',
      'changed',
    ]);
  });

  test('a rename that finds no room for its whiteout changes nothing', () => {
    for (const name of ['a', 'b', 'd/c']) put(low, name, `lower ${name}`);
    mountFull();
    expect(() => union.rename('a', 'new')).toThrow('ENOSPC');
    expect(() => union.rename('b', 'd/c')).toThrow('ENOSPC');
    const unchanged = (): void => {
      expect(union.list('')).toEqual(['a', 'b', 'd']);
      for (const name of ['a', 'b', 'd/c']) expect(union.read(name)).toBe(`upper ${name}`);
    };
    unchanged();
    union.close();
    use(ground.overlay([low, deep], { upper: ground.directory('full/upper'), work: ground.directory('full/work') }));
    unchanged();
  });

  test('a removal that finds no room for its whiteout holds no descriptor', () => {
    for (const name of ['a', 'b', 'd/c']) put(low, name, `lower ${name}`);
    mountFull();
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    expect(() => union.unlink('a')).toThrow('ENOSPC');
    const before = descriptors();
    for (let round = 0; round < 20; round++) expect(() => union.unlink('a')).toThrow('ENOSPC');
    expect(descriptors()).toBe(before);
    expect(union.read('a')).toBe('upper a');
    rmSync(join(ground.path, 'full/filler0'));
    union.unlink('a');
    expect(union.list('')).toEqual(['b', 'd']);
  });

  test('a directory takes the place of one that holds whiteouts', () => {
    put(low, 'target/x', '');
    put(low, 'target/y', '');
    mount();
    union.mkdir('moved');
    union.create('moved/new');
    union.unlink('target/x');
    union.unlink('target/y');
    const held = union.node('target');
    union.rename('moved', 'target');
    expect(union.list('target')).toEqual(['new']);
    union.filesystem.getattr(held, -1, union.attr);
    expect(union.attr.nlink).toBe(0);
    union.close();
    mount();
    expect(union.list('target')).toEqual(['new']);
    expect(union.list('')).toEqual(['target']);
  });

  test('an index that outgrows the cache is given up', () => {
    mount({ cacheEntries: 64 });
    union.mkdir('d');
    for (let at = 0; at < 200; at++) union.create(`d/f${at}`);
    expect(union.list('d')).toHaveLength(200);
    union.unlink('d/f7');
    expect(() => union.node('d/f7')).toThrow('ENOENT');
    expect(union.list('d')).toHaveLength(199);
  });
});
