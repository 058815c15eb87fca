import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { firstMissing, hasKernelOverlay, isRoot, titled } from '../support/requirements.ts';
import { ground, low, mount, union } from './setup.ts';

const missing = firstMissing(isRoot(), hasKernelOverlay());

function mountByKernel(...options: readonly string[]): void {
  const layers = `lowerdir=${low},upperdir=${ground.upper},workdir=${ground.work}`;
  const merged = join(ground.path, 'merged');
  mkdirSync(merged, { recursive: true });
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', [layers, ...options].join(','), merged], { stdio: 'pipe' });
  execFileSync('umount', [merged]);
}

describe.skipIf(missing !== undefined)(titled('volatile', missing), () => {
  test('our mark keeps kernel overlayfs from the upper until it is removed', () => {
    mount({ volatile: true });
    union.create('f', 'unsafe');
    union.close();
    expect(readdirSync(join(ground.work, 'work/incompat/volatile'))).toEqual(['dirty']);
    expect(() => mountByKernel()).toThrow(/mount/);
    rmSync(join(ground.work, 'work/incompat/volatile'), { recursive: true });
    mountByKernel();
    mount();
    expect(union.read('f')).toBe('unsafe');
  });

  test('the mark of kernel overlayfs keeps us from the upper until it is removed', () => {
    mount();
    union.close();
    mountByKernel('volatile');
    expect(() => mount()).toThrow(/its last mount was volatile .*remove .*work\/incompat\/volatile to go on/);
    rmSync(join(ground.work, 'work/incompat/volatile'), { recursive: true });
    mount();
    expect(union.list('')).toEqual([]);
  });
});
