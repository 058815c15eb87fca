import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { RENAME_WHITEOUT } from '../../fs/sys/constants.ts';
import { EINVAL, EIO } from '../../fs/sys/errno.ts';
import { renameat2 } from '../../fs/sys/file.ts';
import { put } from './driver.ts';
import { ground, isRoot, low, mount, union } from './setup.ts';

// An upper whose filesystem makes devices and knows no RENAME_WHITEOUT, as those behind FUSE.

vi.mock(import('../../fs/sys/file.ts'), async (original) => {
  const actual = await original();
  return { ...actual, renameat2: vi.fn(actual.renameat2) };
});
const { renameat2: real } = await vi.importActual<{ renameat2: typeof renameat2 }>('../../fs/sys/file.ts');

describe.skipIf(!isRoot)('rename without RENAME_WHITEOUT (needs root)', () => {
  test('rename leaves a whiteout beside, and is EXDEV where a user has a file of its name', () => {
    vi.mocked(renameat2).mockImplementation((from, name, to, newName, flags = 0) =>
      (flags & RENAME_WHITEOUT) !== 0 ? -EINVAL : real(from, name, to, newName, flags),
    );
    for (const name of ['a', 'b']) put(low, `d/${name}`, name);
    mount();
    union.rename('d/a', 'd/c');
    union.create('d/.wh.b', 'mine');
    expect(() => union.rename('d/b', 'd/e')).toThrow('EXDEV');
    expect(union.list('d')).toEqual(['.wh.b', 'b', 'c']);
    expect(union.read('d/.wh.b')).toBe('mine');
  });

  test('rename that fails takes no whiteout away that was there before', () => {
    put(low, 'd/x/below', 'low');
    put(ground.upper, 'd/.wh.x', '');
    mkdirSync(join(ground.upper, 'd/x'));
    mount({ dotWhiteouts: true });
    vi.mocked(renameat2).mockReturnValue(-EIO);
    expect(() => union.rename('d/x', 'd/y')).toThrow('EIO');
    expect(existsSync(join(ground.upper, 'd/.wh.x'))).toBe(true);
  });
});
