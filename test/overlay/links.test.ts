import { execFileSync } from 'node:child_process';
import { appendFileSync, linkSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NO_HANDLE } from '../../fs/filesystem.ts';
import { put } from './driver.ts';
import { ground, isRoot, low, mount, union, use } from './setup.ts';

describe.skipIf(!isRoot)('hard links and inode numbers of a union (needs root)', () => {
  test('lower hard links stay one file over copy-up', () => {
    put(low, 'a', 'one');
    linkSync(join(low, 'a'), join(low, 'b'));
    mount();
    expect(union.node('a')).toBe(union.node('b'));
    union.write('b', 'two', 0o1001);
    expect(union.read('a')).toBe('two');
    expect(union.stat('a').nlink).toBe(2);
    union.unlink('b');
    expect(union.read('a')).toBe('two');
    expect(union.stat('a').nlink).toBe(1);
    union.close();
    mount();
    expect(union.read('a')).toBe('two');
    expect(union.list('')).toEqual(['a']);
  });

  test('without an index, a copy and the lower file of its other name have numbers of their own after a remount', () => {
    put(low, 'a', 'one');
    linkSync(join(low, 'a'), join(low, 'b'));
    mount({ index: false });
    union.write('b', 'two', 0o1001);
    union.close();
    mount({ index: false });
    expect([union.read('a'), union.read('b')]).toEqual(['one', 'two']);
    expect(union.stat('a').ino).not.toBe(union.stat('b').ino);
  });

  test('st_ino stays over copy-up and equals d_ino', () => {
    put(low, 'd/f', 'x');
    mount();
    const before = union.stat('d/f').ino;
    const directory = union.stat('d').ino;
    union.write('d/f', 'y');
    expect(union.stat('d/f').ino).toBe(before);
    expect(union.stat('d').ino).toBe(directory);
    expect(union.entries('d')[0]?.ino).toBe(before);
    expect(union.entries('')[0]?.ino).toBe(directory);
    expect(union.entries('', true)[0]?.ino).toBe(directory);
  });

  test('st_ino of a copied-up file stays over a remount and a rename, and equals d_ino', () => {
    put(low, 'd/f', 'x');
    put(low, 'e/g', 'x');
    mount();
    const { ino } = union.stat('d/f');
    union.write('d/f', 'y');
    union.close();
    mount();
    expect(union.stat('d/f').ino).toBe(ino);
    union.rename('d/f', 'e/f');
    union.close();
    mount();
    expect(union.entries('e')[0]?.ino).toBe(ino);
    expect(union.stat('e/f').ino).toBe(ino);
  });

  test('lower hard links stay one file over a remount', () => {
    put(low, 'a', 'one');
    put(low, 'd/other', '');
    linkSync(join(low, 'a'), join(low, 'd/b'));
    mount();
    union.write('a', 'two', 0o1001);
    union.close();
    mount();
    expect(union.read('d/b')).toBe('two');
    expect(union.node('d/b')).toBe(union.node('a'));
    expect(union.stat('a').nlink).toBe(2);
    union.write('d/b', 'three', 0o1001);
    expect(union.read('a')).toBe('three');
    union.close();
    mount();
    expect(union.read('a')).toBe('three');
    expect(union.node('d/b')).toBe(union.node('a'));
  });

  test('a copied-up file of two names goes with the last of them', () => {
    put(low, 'a', 'one');
    linkSync(join(low, 'a'), join(low, 'b'));
    mount();
    union.write('a', 'two', 0o1001);
    expect(readdirSync(join(ground.work, 'index'))).toHaveLength(1);
    union.unlink('a');
    union.close();
    mount();
    expect(union.read('b')).toBe('two');
    expect(union.stat('b').nlink).toBe(1);
    const node = union.node('b');
    union.filesystem.open(node, 0, union.opened);
    const { handle } = union.opened;
    union.unlink('b');
    expect(readdirSync(join(ground.work, 'index'))).toEqual([]);
    expect(union.readHandle(node, handle)).toBe('two');
    union.filesystem.getattr(node, NO_HANDLE, union.attr);
    expect(union.attr.nlink).toBe(0);
    union.filesystem.release(node, handle);
  });

  test('a name of a copied-up file that only a lower layer has can be renamed and linked', () => {
    put(low, 'a', 'one');
    linkSync(join(low, 'a'), join(low, 'b'));
    mount();
    union.write('a', 'two', 0o1001);
    union.close();
    mount();
    union.rename('b', 'c');
    expect(union.filesystem.link(union.node('c'), 1, 'd', union.entry)).toBe(0);
    union.close();
    mount();
    expect(union.list('')).toEqual(['a', 'c', 'd']);
    expect(union.stat('d').nlink).toBe(3);
    union.write('d', 'new', 0o1001);
    expect(union.read('a')).toBe('new');
  });

  test('a file whose open name was removed is changed for its other names, too', () => {
    put(low, 'a', 'one');
    linkSync(join(low, 'a'), join(low, 'b'));
    mount();
    const node = union.node('a');
    union.unlink('a');
    union.filesystem.open(node, 1, union.opened);
    union.writeHandle(node, union.opened.handle, 0, 'two');
    union.filesystem.release(node, union.opened.handle);
    expect(union.read('b')).toBe('two');
    union.close();
    mount();
    expect(union.read('b')).toBe('two');
  });

  test('kernel overlayfs with index=on sees the same links', () => {
    put(low, 'a', 'one');
    linkSync(join(low, 'a'), join(low, 'b'));
    mount();
    union.write('a', 'two', 0o1001);
    const { ino } = union.stat('a');
    union.close();
    const merged = ground.directory('merged');
    const options = `lowerdir=${low},upperdir=${ground.upper},workdir=${ground.work},index=on,xino=off`;
    execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', options, merged]);
    try {
      const [a, b] = [statSync(join(merged, 'a')), statSync(join(merged, 'b'))];
      expect(readFileSync(join(merged, 'b'), 'utf8')).toBe('two');
      expect([a.ino, a.nlink, b.ino, b.nlink]).toEqual([ino, 2, ino, 2]);
      appendFileSync(join(merged, 'b'), ' and more');
    } finally {
      execFileSync('umount', [merged]);
    }
    use(ground.overlay([low]));
    expect(union.read('a')).toBe('two and more');
  });
});
