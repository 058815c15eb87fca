import { expect, test, vi } from 'vitest';
import { DirectoryFds } from '../../fs/overlay/directory-fds.ts';
import { Layer } from '../../fs/overlay/layer.ts';
import { RealDirectory } from '../../fs/overlay/real-directory.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { AT_FDCWD } from '../../fs/sys/constants.ts';
import { EIO, EMFILE } from '../../fs/sys/errno.ts';
import { openat, renameat2, statat } from '../../fs/sys/file.ts';
import { getxattrText } from '../../fs/sys/xattr.ts';

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

test('DirectoryFds.fd gives up descriptors asked for long ago where the process has none left', () => {
  vi.mocked(openat).mockReset();
  const layer = new Layer('lowerdir', '/', false, new Attr());
  const fds = new DirectoryFds(512);
  let descriptors = 1_000_000;
  vi.mocked(openat).mockImplementation(() => descriptors++);
  const directories = Array.from({ length: 70 }, (_, at) => new RealDirectory(layer, layer.root, `d${at}`));
  for (const directory of directories) fds.fd(directory);
  vi.mocked(openat).mockReturnValueOnce(-EMFILE).mockReturnValueOnce(-EMFILE);
  expect(fds.fd(new RealDirectory(layer, layer.root, 'new'))).toBe(1_000_070);
  expect(directories.map(({ fd }) => fd < 0).lastIndexOf(true)).toBe(1);
  vi.mocked(openat).mockReturnValue(-EMFILE);
  expect(fds.fd(new RealDirectory(layer, layer.root, 'newer'))).toBe(-EMFILE);
  expect(directories.filter(({ fd }) => fd >= 0)).toHaveLength(63);
  layer.close();
});

test('system calls answer the errno that they are given in the place of a directory', () => {
  expect(statat(-EMFILE, 'a', new Attr())).toBe(-EMFILE);
  expect(renameat2(AT_FDCWD, 'no such file', -EMFILE, 'a')).toBe(-EMFILE);
  expect(getxattrText(-EMFILE, 'a', 'user.a')).toBe(-EMFILE);
});
