import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { directory, file, symlink, whiteout } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const rows: readonly Row[] = [
  {
    name: 'a name that several layers have is the topmost one',
    lowers: [{ a: 'one' }, { a: 'two' }, { a: 'three' }],
    upper: { a: 'upper' },
    async run({ root, at }) {
      expect(await root.text(at('a'))).toBe('upper');
    },
  },
  {
    name: 'a name that only the bottom layer has is found',
    lowers: [{}, {}, { d: { e: { f: 'bottom' } } }],
    async run({ root, at }) {
      expect(await root.text(at('d/e/f'))).toBe('bottom');
    },
  },
  {
    name: 'directories of one name merge over all layers',
    lowers: [{ d: { one: '1' } }, { d: { two: '2' } }, { d: { three: '3' } }],
    upper: { d: { upper: '0' } },
    async run({ root, at }) {
      expect(await root.names(at('d'))).toEqual(['one', 'three', 'two', 'upper']);
      expect(await root.text(at('d/three'))).toBe('3');
    },
  },
  {
    name: 'a merged directory has the owner, mode and times of the topmost',
    lowers: [
      { d: directory({}, { mode: 0o750, mtime: 1_000_000_000_123_456_789n }) },
      { d: directory({}, { mode: 0o711, mtime: 5n }) },
    ],
    async run({ root, at }) {
      const status = await root.stat(at('d'));
      expect(status.mode).toBe(0o040750);
      expect(status.mtime).toBe(1_000_000_000_123_456_789n);
    },
  },
  {
    name: 'a whiteout hides the name in all layers below it',
    lowers: [{ d: {} }, { a: whiteout, d: whiteout }, { a: 'hidden', d: { x: 'hidden' } }],
    async run({ root, at }) {
      expect(await errnoOf(root.stat(at('a')))).toBe('ENOENT');
      expect(await root.names(at('d'))).toEqual([]);
    },
  },
  {
    name: 'a whiteout in the upper hides the lower name',
    lowers: [{ a: 'hidden', b: 'shown' }],
    upper: { a: whiteout },
    async run({ root, at }) {
      expect(await errnoOf(root.open(at('a'), 0))).toBe('ENOENT');
      expect(await root.names(at())).toEqual(['b']);
    },
  },
  {
    name: 'a name above a whiteout is shown and hides what lies below',
    lowers: [{ d: { new: 'n' } }, { d: whiteout }, { d: { old: 'o' } }],
    async run({ root, at }) {
      expect(await root.names(at('d'))).toEqual(['new']);
      expect(await errnoOf(root.stat(at('d/old')))).toBe('ENOENT');
    },
  },
  {
    name: 'a regular file over a directory hides the directory',
    lowers: [{ a: 'file' }, { a: { x: 'hidden' } }],
    async run({ root, at }) {
      expect(await root.text(at('a'))).toBe('file');
      expect(await errnoOf(root.stat(at('a/x')))).toBe('ENOTDIR');
    },
  },
  {
    name: 'a directory over a regular file is that directory alone',
    lowers: [{ a: { x: 'shown' } }, { a: 'hidden' }, { a: { y: 'hidden' } }],
    async run({ root, at }) {
      expect(await root.names(at('a'))).toEqual(['x']);
    },
  },
  {
    name: 'a symlink over a directory is not followed within a layer',
    lowers: [{ a: symlink('b') }, { a: { x: 'hidden' }, b: { y: 'target' } }],
    async run({ root, at }) {
      expect(await root.readlink(at('a'))).toBe('b');
      expect(await root.names(`${at('a')}/`)).toEqual(['y']);
    },
  },
  {
    name: 'a directory over a symlink to a directory does not merge with its target',
    lowers: [{ a: { x: 'shown' } }, { a: symlink('b'), b: { y: 'not in a' } }],
    async run({ root, at }) {
      expect(await root.names(at('a'))).toEqual(['x']);
    },
  },
  {
    name: 'lookup of a name that no layer has is ENOENT, again and again',
    lowers: [{}, {}],
    async run({ root, at }) {
      expect(await errnoOf(root.stat(at('none')))).toBe('ENOENT');
      expect(await errnoOf(root.stat(at('none')))).toBe('ENOENT');
      expect(await errnoOf(root.stat(at('none/below')))).toBe('ENOENT');
    },
  },
  {
    name: 'a name that was not there is seen once it is made',
    lowers: [{}],
    async run({ root, at }) {
      expect(await errnoOf(root.stat(at('a')))).toBe('ENOENT');
      await root.put(at('a'), 'now');
      expect(await root.text(at('a'))).toBe('now');
    },
  },
  {
    name: 'a path through a regular file is ENOTDIR',
    lowers: [{ a: 'file' }],
    async run({ root, at }) {
      expect(await errnoOf(root.stat(at('a/b')))).toBe('ENOTDIR');
      expect(await errnoOf(root.open(at('a'), 0o200000))).toBe('ENOTDIR');
    },
  },
  {
    name: '.. leads to the parent, in merged directories too',
    lowers: [{ d: { e: {} } }, { d: { e: {} } }],
    async run({ root, at }) {
      expect((await root.stat(at('d/e/..'))).ino).toBe((await root.stat(at('d'))).ino);
      expect((await root.stat(at('d/e/../..'))).ino).toBe((await root.stat(at())).ino);
    },
  },
  {
    name: 'every file type of a lower layer shows as what it is',
    lowers: [
      {
        file: file('x', { mode: 0o640 }),
        link: symlink('nowhere'),
        directory: directory({}, { mode: 0o1777 }),
      },
    ],
    async run({ root, at }) {
      expect((await root.stat(at('file'))).mode).toBe(0o100640);
      expect((await root.stat(at('link'))).mode).toBe(0o120777);
      expect((await root.stat(at('directory'))).mode).toBe(0o041777);
    },
  },
  {
    name: 'all files have one st_dev, that of the mount',
    lowers: [{ a: 'a', d: { b: 'b' } }, { d: { c: 'c' } }],
    upper: { u: 'u' },
    async run({ root, at, mountpoint }) {
      const { device } = await root.stat(mountpoint);
      for (const name of ['a', 'd', 'd/b', 'd/c', 'u']) expect((await root.stat(at(name))).device).toBe(device);
    },
  },
];

conformance('lookup', rows);
