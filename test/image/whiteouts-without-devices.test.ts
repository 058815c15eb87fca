import { describe, expect, test, vi } from 'vitest';

import { O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { EPERM } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { getxattrText, SELF } from '../../fs/sys/xattr.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { type ArchiveEntry, tar } from './archives.ts';
import { Target } from './ground.ts';

// As kernels before 5.8 do without root.
vi.mock(import('../../fs/sys/file.ts'), async (original) => ({ ...(await original()), mknodat: () => -EPERM }));

const LONGEST = 'n'.repeat(255);

function xattrOf(path: string, name: string, xattr: string): string | number {
  const directory = openat(-1, path, O_RDONLY | O_DIRECTORY);
  try {
    return getxattrText(directory, name, xattr);
  } finally {
    close(directory);
  }
}

describe.skipIf(isRoot())(titled('unpackLayer where no device can be made', isRoot()), () => {
  async function over(...entries: readonly ArchiveEntry[]): Promise<string> {
    const lower = new Target();
    await lower.unpack(tar({ name: 'dir/', type: '5' }, { name: `dir/${LONGEST}` }));
    const target = new Target();
    await target.unpack(tar(...entries), [lower.path]);
    return target.path;
  }
  const device = { name: `dir/${LONGEST}`, type: '3', major: 1, minor: 3 };

  test('hides a lower file in the place of a device whose name is too long for .wh.', async () => {
    const path = await over(device);
    expect(xattrOf(`${path}/dir`, LONGEST, 'trusted.overlay.whiteout')).toBe('y');
    expect(xattrOf(`${path}/dir`, SELF, 'trusted.overlay.opaque')).toBe('x');
  });

  test('leaves it to an opaque directory', async () => {
    const path = await over({ name: '.wh.dir' }, { name: 'dir/', type: '5' }, device);
    expect(xattrOf(`${path}/dir`, LONGEST, 'trusted.overlay.whiteout')).toEqual(expect.any(Number));
    expect(xattrOf(`${path}/dir`, SELF, 'trusted.overlay.opaque')).toBe('y');
  });
});
