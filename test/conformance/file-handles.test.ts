import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { type System, type Path } from '../support/system.ts';
import { type Row, conformance, dropCaches } from './suite.ts';

const NEEDS = ['open_by_handle_at', 'drop caches'] as const;

/** What a file handle leads to after the kernel has forgotten everything it could. */
async function textByHandle(root: System, mountpoint: Path, handle: Buffer): Promise<string> {
  dropCaches();
  const mountFd = await root.open(mountpoint, 0o200000);
  const fd = await root.openByHandle(mountFd, handle, 0);
  const text = (await root.pread(fd, 100, 0)).toString();
  await root.close(fd);
  await root.close(mountFd);
  return text;
}

const rows: readonly Row[] = [
  {
    name: 'a handle leads to a lower file, and to its copy in the upper, under whatever name',
    needs: NEEDS,
    lowers: [{ d: { a: 'lower' }, e: {} }],
    async run({ root, at, mountpoint }) {
      const handle = await root.handleOf(at('d/a'));
      expect(await textByHandle(root, mountpoint, handle)).toBe('lower');
      await root.put(at('d/a'), 'upper');
      expect(await textByHandle(root, mountpoint, handle)).toBe('upper');
      await root.rename(at('d/a'), at('e/moved'));
      expect(await textByHandle(root, mountpoint, handle)).toBe('upper');
    },
  },
  {
    name: 'a handle of a removed file is stale, also where another file has come in its place',
    needs: NEEDS,
    lowers: [{ a: 'lower' }],
    async run({ root, at, mountpoint }) {
      await root.put(at('b'), 'upper');
      const handles = [await root.handleOf(at('a')), await root.handleOf(at('b'))];
      for (const name of ['a', 'b']) await root.unlink(at(name));
      dropCaches();
      for (const name of ['a', 'b', 'c', 'd', 'e']) await root.put(at(name), 'another');
      for (const handle of handles) {
        expect(await errnoOf(textByHandle(root, mountpoint, handle))).toBe('ESTALE');
      }
    },
  },
  {
    name: 'a handle leads to a directory, and from there up and down',
    needs: NEEDS,
    lowers: [{ d: { e: { f: 'f' } } }, { d: { e: { g: 'g' } } }],
    async run({ root, at, mountpoint }) {
      const handle = await root.handleOf(at('d/e'));
      dropCaches();
      const mountFd = await root.open(mountpoint, 0o200000);
      const fd = await root.openByHandle(mountFd, handle, 0o200000);
      expect(await root.names(`/proc/self/fd/${fd}`)).toEqual(['f', 'g']);
      expect(await root.text(`/proc/self/fd/${fd}/f`)).toBe('f');
      expect(await root.names(`/proc/self/fd/${fd}/..`)).toEqual(['e']);
      expect(await root.readlink(`/proc/self/fd/${fd}`)).toBe(at('d/e'));
    },
  },
  {
    name: 'a handle leads to a file of several names after one of them is gone',
    needs: NEEDS,
    async run({ root, at, mountpoint }) {
      await root.put(at('a'), 'linked');
      await root.link(at('a'), at('b'));
      const handle = await root.handleOf(at('a'));
      await root.unlink(at('a'));
      expect(await textByHandle(root, mountpoint, handle)).toBe('linked');
    },
  },
  {
    name: 'a handle of an earlier mount is stale, and leads to no other file',
    needs: NEEDS,
    lowers: [{ a: 'a', b: 'b', c: 'c' }],
    differs: { kernel: 'overlayfs finds the file by the handle of the lower file, which lasts' },
    async run({ root, at, mountpoint, remount }) {
      const handles = [];
      for (const name of ['a', 'b', 'c']) handles.push(await root.handleOf(at(name)));
      await root.release();
      await remount();
      for (const name of ['c', 'b', 'a']) await root.stat(at(name));
      for (const handle of handles) {
        expect(await errnoOf(textByHandle(root, mountpoint, handle))).toBe('ESTALE');
      }
    },
  },
];

conformance('nfs_export=on', rows, {
  options: { kernel: ['nfs_export=on', 'metacopy=off'], lamina: ['nfs_export=on', 'metacopy=off'] },
});
