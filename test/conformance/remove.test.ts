import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { directory, snapshot, whiteout } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const OLD = 1_000_000_000_123_456_789n;

const rows: readonly Row[] = [
  {
    name: 'unlink of an upper file leaves nothing',
    lowers: [{}],
    async run({ root, at, upper }) {
      await root.put(at('a'), 'x');
      await root.unlink(at('a'));
      expect(await errnoOf(root.stat(at('a')))).toBe('ENOENT');
      expect(await root.names(at())).toEqual([]);
      expect(await root.names(upper())).toEqual([]);
    },
  },
  {
    name: 'unlink of a lower file hides it, after a remount too, and leaves the lower',
    lowers: [{ d: { a: 'x', b: 'y' } }],
    async run({ root, at, lower, remount }) {
      const before = await snapshot(root, lower(0));
      await root.unlink(at('d/a'));
      expect(await errnoOf(root.stat(at('d/a')))).toBe('ENOENT');
      expect(await root.names(at('d'))).toEqual(['b']);
      await remount();
      expect(await root.names(at('d'))).toEqual(['b']);
      expect(await snapshot(root, lower(0))).toEqual(before);
    },
  },
  {
    name: 'unlink of a file that upper and lower have does not bring the lower one back',
    lowers: [{ a: 'lower' }, { a: 'bottom' }],
    upper: { a: 'upper' },
    async run({ root, at }) {
      await root.unlink(at('a'));
      expect(await errnoOf(root.stat(at('a')))).toBe('ENOENT');
    },
    async after({ root, at }) {
      expect(await errnoOf(root.stat(at('a')))).toBe('ENOENT');
    },
  },
  {
    name: 'unlink of a file that was copied up does not bring the lower one back',
    lowers: [{ a: 'lower' }],
    async run({ root, at }) {
      await root.chmod(at('a'), 0o600);
      await root.unlink(at('a'));
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual([]);
    },
  },
  {
    name: 'unlink changes mtime and ctime of the directory',
    lowers: [{ d: directory({ a: '' }, { mtime: OLD }) }],
    async run({ root, at }) {
      const before = await root.stat(at('d'));
      await root.unlink(at('d/a'));
      const after = await root.stat(at('d'));
      expect(after.mtime).toBeGreaterThan(before.mtime);
      expect(after.ctime).toBeGreaterThan(before.ctime);
    },
  },
  {
    name: 'unlink of a directory is EISDIR, of nothing ENOENT, rmdir of a file ENOTDIR',
    lowers: [{ d: {}, f: '' }],
    async run({ root, at }) {
      expect(await errnoOf(root.unlink(at('d')))).toBe('EISDIR');
      expect(await errnoOf(root.unlink(at('none')))).toBe('ENOENT');
      expect(await errnoOf(root.rmdir(at('f')))).toBe('ENOTDIR');
      expect(await errnoOf(root.rmdir(at('none')))).toBe('ENOENT');
    },
  },
  {
    name: 'unlink twice: the second is ENOENT',
    lowers: [{ a: '' }],
    async run({ root, at }) {
      await root.unlink(at('a'));
      expect(await errnoOf(root.unlink(at('a')))).toBe('ENOENT');
    },
  },
  {
    name: 'rmdir of an upper, a lower and a merged directory that are empty',
    lowers: [{ low: {}, both: {} }],
    upper: { both: {} },
    async run({ root, at }) {
      await root.mkdir(at('up'));
      for (const name of ['up', 'low', 'both']) await root.rmdir(at(name));
      expect(await root.names(at())).toEqual([]);
    },
    async after({ root, at, lower }) {
      expect(await root.names(at())).toEqual([]);
      expect(await root.names(lower(0))).toEqual(['both', 'low']);
    },
  },
  {
    name: 'rmdir is ENOTEMPTY for what any layer shows',
    lowers: [{ low: { x: '' }, both: { x: '' } }],
    upper: { both: {}, up: { x: '' } },
    async run({ root, at }) {
      for (const name of ['low', 'both', 'up']) expect(await errnoOf(root.rmdir(at(name)))).toBe('ENOTEMPTY');
    },
  },
  {
    name: 'rmdir of a merged directory that whiteouts empty',
    lowers: [{ d: { a: '', b: '' } }],
    upper: { d: { a: whiteout } },
    async run({ root, at }) {
      expect(await errnoOf(root.rmdir(at('d')))).toBe('ENOTEMPTY');
      await root.unlink(at('d/b'));
      await root.rmdir(at('d'));
      expect(await errnoOf(root.stat(at('d')))).toBe('ENOENT');
    },
    async after({ root, at }) {
      expect(await errnoOf(root.stat(at('d')))).toBe('ENOENT');
    },
  },
  {
    name: 'rmdir of a lower directory that whiteouts of another lower empty',
    lowers: [{ d: { a: whiteout } }, { d: { a: '' } }],
    async run({ root, at }) {
      expect(await root.names(at('d'))).toEqual([]);
      await root.rmdir(at('d'));
      expect(await root.names(at())).toEqual([]);
    },
  },
  {
    name: 'a whole lower tree is removed from below, and can be made anew',
    lowers: [{ t: { a: { b: { c: 'x' }, d: 'y' }, e: 'z' } }, { t: { a: { b: { q: 'x' } } } }],
    async run({ root, at }) {
      for (const name of ['t/a/b/c', 't/a/b/q', 't/a/d', 't/e']) await root.unlink(at(name));
      for (const name of ['t/a/b', 't/a', 't']) await root.rmdir(at(name));
      expect(await root.names(at())).toEqual([]);
      await root.mkdir(at('t'));
      await root.mkdir(at('t/a'));
    },
    async after({ root, at }) {
      expect(await root.names(at('t/a'))).toEqual([]);
    },
  },
  {
    name: 'rmdir of a directory that is the working directory leaves it usable as such',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      await root.chdir(at('d'));
      await root.rmdir(at('d'));
      expect((await root.stat('.')).mode & 0o170000).toBe(0o040000);
      expect(await errnoOf(root.mkdir('x'))).toBe('ENOENT');
      expect(await errnoOf(root.stat('x'))).toBe('ENOENT');
      await root.chdir('/');
    },
  },
  {
    name: 'rmdir with a trailing . is EINVAL, with .. ENOTEMPTY',
    lowers: [{ d: { e: {} } }],
    async run({ root, at }) {
      expect(await errnoOf(root.rmdir(at('d/e/.')))).toBe('EINVAL');
      expect(await errnoOf(root.rmdir(at('d/e/..')))).toBe('ENOTEMPTY');
    },
  },
  {
    name: 'the mount point cannot be removed',
    lowers: [{}],
    async run({ root, mountpoint }) {
      expect(await errnoOf(root.rmdir(mountpoint))).toBe('EBUSY');
    },
  },
];

conformance('remove', rows);
