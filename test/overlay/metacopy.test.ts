import { execFileSync } from 'node:child_process';
import { lstatSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { CHANGE } from '../../fs/filesystem.ts';
import { resolve } from '../../fs/overlay/lookup.ts';
import { ensureData } from '../../fs/overlay/metacopy.ts';
import { Union } from '../../fs/overlay/union.ts';
import { put } from './driver.ts';
import { deep, ground, isRoot, low, mount, union, use } from './setup.ts';

const DATA = 'x'.repeat(100_000);

function overlay(options: string, merged: string, act: () => void): void {
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', options, merged]);
  try {
    act();
  } finally {
    execFileSync('umount', [merged]);
  }
}

describe.skipIf(!isRoot)('metacopy (needs root)', () => {
  beforeEach(() => put(low, 'd/f', DATA));

  test('a change of metadata copies no data, a write does', () => {
    mount({ metacopy: true });
    union.change('d/f', { valid: CHANGE.mode | CHANGE.uid, mode: 0o4755, uid: 7 });
    expect(lstatSync(join(ground.upper, 'd/f')).blocks).toBeLessThan(100);
    expect(union.read('d/f').length).toBe(65536);
    const { size, blocks, uid } = union.stat('d/f');
    expect([size, blocks > 0, uid]).toEqual([DATA.length, true, 7]);
    union.write('d/f', 'new', 1);
    expect(readFileSync(join(ground.upper, 'd/f'), 'utf8')).toBe(`new${DATA.slice(3)}`);
    expect(readFileSync(join(low, 'd/f'), 'utf8')).toBe(DATA);
  });

  test('a file open for reading before sees what is written after', () => {
    mount({ metacopy: true });
    const node = union.node('d/f');
    union.filesystem.open(node, 0, union.opened);
    const { handle } = union.opened;
    union.change('d/f', { valid: CHANGE.mode, mode: 0o600 });
    expect(union.readHandle(node, handle).slice(0, 3)).toBe('xxx');
    union.filesystem.getattr(node, handle, union.attr);
    expect(union.attr.mode & 0o7777).toBe(0o600);
    union.write('d/f', 'new', 1);
    expect(union.readHandle(node, handle).slice(0, 4)).toBe('newx');
    union.filesystem.release(node, handle);
  });

  test('truncation completes it without the rest', () => {
    mount({ metacopy: true });
    union.change('d/f', { valid: CHANGE.mode, mode: 0o600 });
    union.change('d/f', { valid: CHANGE.size, size: 10 });
    union.close();
    mount();
    expect(union.read('d/f')).toBe('x'.repeat(10));
  });

  test.each([0, 1000])(
    'one that is to be truncated to %d bytes has no more, should the truncation never come',
    (size) => {
      mount({ metacopy: true });
      union.change('d/f', { valid: CHANGE.mode, mode: 0o600 });
      union.close();
      const state = new Union({ lowers: [low, deep], upper: ground.upper, work: ground.work, metacopy: true });
      try {
        const directory = resolve(state, state.inodes.root, 'd', undefined);
        const inode = typeof directory === 'object' ? resolve(state, directory, 'f', undefined) : directory;
        if (typeof inode === 'number') throw new Error('d/f is not there');
        expect([inode.metacopy, ensureData(state, inode, size), inode.metacopy]).toEqual([true, 0, false]);
      } finally {
        state.close();
      }
      expect(readFileSync(join(ground.upper, 'd/f'), 'utf8')).toBe(DATA.slice(0, size));
    },
  );

  test('renamed and linked, it finds its data over a remount', () => {
    put(deep, 'e/g', '');
    mount({ metacopy: true });
    union.rename('d/f', 'e/moved');
    expect(union.filesystem.link(union.node('e/moved'), union.node('d'), 'linked', union.entry)).toBe(0);
    union.rename('d', 'e/d');
    expect(lstatSync(join(ground.upper, 'e/moved')).blocks).toBeLessThan(100);
    for (let round = 0; round < 2; round++) {
      expect(union.read('e/moved').slice(0, 5)).toBe('xxxxx');
      expect(union.read('e/d/linked').slice(0, 5)).toBe('xxxxx');
      union.close();
      mount();
    }
    union.write('e/d/linked', 'new', 1);
    expect(union.read('e/moved').slice(0, 4)).toBe('newx');
  });

  test('one whose data is gone is unreadable, not zeros', () => {
    mount({ metacopy: true });
    union.change('d/f', { valid: CHANGE.mode, mode: 0o600 });
    union.close();
    use(ground.overlay([deep]));
    expect(() => union.read('d/f')).toThrow('EIO');
    expect(() => union.write('d/f', 'x', 1)).toThrow('EIO');
    union.write('d/f', 'anew');
    expect(union.read('d/f')).toBe('anew');
  });

  test('an upper with metacopies is a layer like any other', () => {
    mount({ metacopy: true });
    union.rename('d/f', 'd/g');
    union.close();
    const second = { upper: ground.directory('u2'), work: ground.directory('w2'), metacopy: true };
    use(ground.overlay([ground.upper, low, deep], second));
    expect(union.read('d/g').slice(0, 3)).toBe('xxx');
    union.rename('d/g', 'h');
    union.close();
    use(ground.overlay([ground.upper, low, deep], second));
    expect(union.read('h').slice(0, 3)).toBe('xxx');
    union.write('h', 'new', 1);
    expect(union.read('h').slice(0, 4)).toBe('newx');
  });

  test('kernel overlayfs reads ours, and we read its', () => {
    const merged = ground.directory('merged');
    const options = `lowerdir=${low}:${deep},upperdir=${ground.upper},workdir=${ground.work},metacopy=on,redirect_dir=on`;
    writeFileSync(join(low, 'd/k'), DATA);
    mount({ metacopy: true });
    union.rename('d/f', 'f');
    union.close();
    overlay(options, merged, () => {
      expect(readFileSync(join(merged, 'f'), 'utf8')).toBe(DATA);
      execFileSync('chown', ['5', join(merged, 'd/k')]);
      execFileSync('mv', [join(merged, 'd/k'), join(merged, 'k')]);
    });
    expect(statSync(join(ground.upper, 'k')).blocks).toBeLessThan(100);
    mount();
    expect(union.read('k').slice(0, 3)).toBe('xxx');
    expect(union.stat('k').uid).toBe(5);
  });
});
