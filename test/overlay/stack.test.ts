import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Inode } from '../../fs/overlay/inode.ts';
import { resolve } from '../../fs/overlay/lookup.ts';
import { Union } from '../../fs/overlay/union.ts';
import { EMFILE } from '../../fs/sys/errno.ts';
import { openat } from '../../fs/sys/file.ts';

vi.mock(import('../../fs/sys/file.ts'), async (original) => {
  const actual = await original();
  return { ...actual, openat: vi.fn(actual.openat) };
});

test('stackLowers leaves out no layer for want of descriptors: the lookup fails, and the next one does not', async () => {
  const path = mkdtempSync(join(tmpdir(), 'lamina-stack-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  for (const directory of ['lower/d', 'upper/d', 'work']) mkdirSync(join(path, directory), { recursive: true });
  writeFileSync(join(path, 'lower/d/file'), '');
  const [lower, upper, work] = [join(path, 'lower'), join(path, 'upper'), join(path, 'work')];
  const union = new Union({ lowers: [lower], upper, work });
  onTestFinished(() => union.close());
  const { openat: open } = await vi.importActual<typeof import('../../fs/sys/file.ts')>('../../fs/sys/file.ts');
  const find = (): Inode | number => resolve(union, union.inodes.root, 'd', undefined);

  vi.mocked(openat).mockImplementation((dirfd, name, ...rest) => (name === 'd' ? -EMFILE : open(dirfd, name, ...rest)));
  expect(find()).toBe(-EMFILE);
  vi.mocked(openat).mockImplementation(open);
  expect(find()).toMatchObject({ lowers: [{ name: 'd' }] });
});
