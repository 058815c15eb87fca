import { expect } from 'vitest';
import { LIMITS } from '../../fs/libfuse/limits.ts';
import { Watch } from '../support/inotify.ts';
import { type Row, conformance } from './suite.ts';

const O_WRONLY = 1;

const rows: readonly Row[] = [
  {
    name: 'inotify tells of what is made, written, renamed and removed in a merged directory',
    lowers: [{ d: { low: 'x' } }, { d: { bottom: 'y' } }],
    upper: { d: {} },
    async run({ root, at, another }) {
      const other = await another();
      const watch = await Watch.on(root, at('d'));
      await other.put(at('d/new'), 'x');
      expect(await watch.events()).toEqual(['create new', 'open new', 'modify new', 'close write new']);
      await other.rename(at('d/new'), at('d/moved'));
      expect(await watch.events()).toEqual(['moved from new', 'moved to moved']);
      await other.mkdir(at('d/sub'));
      await other.symlink('x', at('d/link'));
      expect(await watch.events()).toEqual(['create sub', 'create link']);
      await other.rmdir(at('d/sub'));
      await other.unlink(at('d/low'));
      expect(await watch.events()).toEqual(['delete sub', 'delete low']);
      await watch.close();
    },
  },
  {
    name: 'inotify tells of a lower file that is written, read and changed, whose watch is from before its copy-up',
    lowers: [{ a: 'x' }],
    async run({ root, at, another }) {
      const other = await another();
      const watch = await Watch.on(root, at('a'));
      const fd = await other.open(at('a'), O_WRONLY);
      await other.pwrite(fd, 'y', 0);
      await other.close(fd);
      expect(await watch.events()).toEqual(['open', 'modify', 'close write']);
      await other.chmod(at('a'), 0o600);
      expect(await watch.events()).toEqual(['attrib']);
      await other.text(at('a'));
      expect(await watch.events()).toEqual(['open', 'access', 'close nowrite']);
      await watch.close();
    },
  },
  {
    name: 'inotify tells that the watched file itself is renamed, linked and removed',
    differs: { 'fuse-native': LIMITS.hardLinks },
    lowers: [{ a: 'x', d: {} }],
    async run({ root, at, another }) {
      const other = await another();
      const watch = await Watch.on(root, at('a'));
      await other.rename(at('a'), at('b'));
      await other.link(at('b'), at('c'));
      await other.unlink(at('b'));
      expect((await watch.events()).filter((event) => event !== 'attrib')).toEqual(['move self']);
      await other.unlink(at('c'));
      expect(await watch.events()).toEqual(['attrib', 'delete self', 'ignored']);
      await watch.close();
    },
  },
  {
    name: 'inotify tells that a watched lower directory is renamed, and goes on with what happens in it then',
    lowers: [{ d: { a: 'x' } }],
    async run({ root, at, another }) {
      const other = await another();
      const watch = await Watch.on(root, at('d'));
      await other.rename(at('d'), at('e'));
      expect(await watch.events()).toEqual(['move self']);
      await other.unlink(at('e/a'));
      expect(await watch.events()).toEqual(['delete a']);
      await watch.close();
    },
  },
  {
    name: 'inotify says nothing of a copy-up by itself',
    lowers: [{ d: { a: 'x', sub: { b: 'y' } } }],
    async run({ root, at, another }) {
      const other = await another();
      const watch = await Watch.on(root, at('d'), at('d/sub'));
      await other.link(at('d/sub/b'), at('outside'));
      expect((await watch.events()).filter((event) => event !== 'attrib b')).toEqual([]);
      await watch.close();
    },
  },
];

conformance('notifications', rows);
