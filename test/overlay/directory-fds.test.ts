import { expect, test, vi } from 'vitest';
import { DirectoryFds } from '../../fs/overlay/directory-fds.ts';
import { Layer } from '../../fs/overlay/layer.ts';
import { RealDirectory } from '../../fs/overlay/real-directory.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { AT_FDCWD } from '../../fs/sys/constants.ts';
import { EIO } from '../../fs/sys/errno.ts';
import { openat } from '../../fs/sys/file.ts';

const ENETDOWN = 100;

vi.mock(import('../../fs/sys/file.ts'), async (original) => {
  const actual = await original();
  return { ...actual, openat: vi.fn(actual.openat) };
});

test('DirectoryFds.fd answers no errno that the system calls would take for our own directory', () => {
  const layer = new Layer('lowerdir', '/', false, new Attr());
  const fds = new DirectoryFds(64);
  vi.mocked(openat).mockReturnValue(-ENETDOWN);
  expect(-ENETDOWN).toBe(AT_FDCWD);
  expect(fds.fd(new RealDirectory(layer, layer.root, 'tmp'))).toBe(-EIO);
  layer.close();
});
