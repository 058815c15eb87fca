import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { directory, hardlink } from '../support/tree.ts';
import { type Row, type Site, conformance } from './suite.ts';

const MERGED_IS_ONE = { kernel: 'overlayfs says 1, "unknown", of every merged directory' };

async function links({ root, at }: Site, path: string): Promise<number> {
  return (await root.stat(at(path))).nlink;
}

const rows: readonly Row[] = [
  {
    name: 'a merged directory has a link from each subdirectory of any layer, once',
    differs: MERGED_IS_ONE,
    lowers: [{ d: { both: {}, top: {}, file: 'x' } }, { d: { both: {}, bottom: {}, other: 'y' } }],
    async run(site) {
      expect(await links(site, 'd')).toBe(5);
    },
  },
  {
    name: 'a merged directory counts the subdirectories that come and go',
    differs: MERGED_IS_ONE,
    lowers: [{ d: { one: {}, two: {} } }, { d: { three: {} } }],
    async run(site) {
      const { root, at } = site;
      expect(await links(site, 'd')).toBe(5);
      await root.mkdir(at('d/four'));
      expect(await links(site, 'd')).toBe(6);
      await root.rmdir(at('d/one'));
      expect(await links(site, 'd')).toBe(5);
      await root.mkdir(at('d/one'));
      await root.put(at('d/file'), 'not counted');
      expect(await links(site, 'd')).toBe(6);
      await root.rename(at('d/two'), at('elsewhere'));
      expect(await links(site, 'd')).toBe(5);
      await root.rename(at('elsewhere'), at('d/three'));
      expect(await links(site, 'd')).toBe(5);
    },
    async after(site) {
      expect(await links(site, 'd')).toBe(5);
    },
  },
  {
    name: 'a directory of one layer and a new one have two links and one for each subdirectory',
    lowers: [{ d: { one: {}, two: { three: {} } } }],
    async run(site) {
      await site.root.mkdir(site.at('new'));
      await site.root.mkdir(site.at('new/sub'));
      expect(await links(site, 'd')).toBe(4);
      expect(await links(site, 'new')).toBe(3);
      expect(await links(site, 'd/one')).toBe(2);
    },
  },
  {
    name: 'an opaque directory does not count what it hides',
    lowers: [
      { d: directory({ shown: {} }, { xattrs: { 'trusted.overlay.opaque': 'y' } }) },
      { d: { hidden: {}, gone: {} } },
    ],
    needs: ['trusted xattrs'],
    async run(site) {
      expect(await links(site, 'd')).toBe(3);
    },
  },
  {
    name: 'a name of a lower file that another replaces leaves its link count for a remount to see',
    lowers: [{ a: 'one', b: hardlink('a'), c: hardlink('a'), other: 'two' }],
    async run(site) {
      await site.root.rename(site.at('other'), site.at('a'));
      expect(await links(site, 'b')).toBe(2);
    },
    async after(site) {
      expect(await links(site, 'b')).toBe(2);
      expect(await links(site, 'a')).toBe(1);
      expect(await site.root.text(site.at('c'))).toBe('one');
    },
  },
  {
    name: 'a lower file of two names keeps its inode number and content when one goes',
    lowers: [{ a: 'one', b: hardlink('a') }],
    async run(site) {
      const { ino } = await site.root.stat(site.at('b'));
      await site.root.unlink(site.at('a'));
      expect((await site.root.stat(site.at('b'))).ino).toBe(ino);
      expect(await site.root.text(site.at('b'))).toBe('one');
      await site.root.unlink(site.at('b'));
      expect(await errnoOf(site.root.stat(site.at('b')))).toBe('ENOENT');
    },
    async after(site) {
      expect(await errnoOf(site.root.stat(site.at('a')))).toBe('ENOENT');
      expect(await errnoOf(site.root.stat(site.at('b')))).toBe('ENOENT');
    },
  },
];

conformance('link counts', rows);
