import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { hardlink } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const NOT_OVERLAYFS = { kernel: 'overlayfs knows no whiteouts by name' };
const O_CREAT_EXCL = 0o301;

const ordinary: readonly Row[] = [
  {
    name: 'an empty file named .wh.NAME is made, and hides nothing',
    lowers: [{ a: 'below' }],
    async run({ root, at }) {
      await root.put(at('.wh.a'), '', O_CREAT_EXCL);
      await root.mknod(at('.wh.nothing'), 0o100600);
      expect(await root.names(at())).toEqual(['.wh.a', '.wh.nothing', 'a']);
      expect((await root.stat(at('.wh.nothing'))).mode).toBe(0o100600);
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['.wh.a', '.wh.nothing', 'a']);
      expect(await root.text(at('a'))).toBe('below');
      await root.unlink(at('.wh.a'));
      await root.unlink(at('a'));
      await root.put(at('.wh.a'), '');
      expect(await root.names(at())).toEqual(['.wh.a', '.wh.nothing']);
    },
  },
  {
    name: 'a file named .wh..wh..opq is made, and hides nothing',
    lowers: [{ d: { top: '' } }, { d: { bottom: '' } }],
    async run({ root, at }) {
      await root.put(at('d/.wh..wh..opq'), '');
      expect(await root.names(at('d'))).toEqual(['.wh..wh..opq', 'bottom', 'top']);
    },
    async after({ root, at }) {
      expect(await root.names(at('d'))).toEqual(['.wh..wh..opq', 'bottom', 'top']);
      await root.unlink(at('d/.wh..wh..opq'));
      expect(await root.names(at('d'))).toEqual(['bottom', 'top']);
    },
  },
  {
    name: 'directories, symlinks and fifos are named .wh.NAME',
    lowers: [{ a: '', b: '', c: '' }],
    async run({ root, at }) {
      await root.mkdir(at('.wh.a'));
      await root.symlink('b', at('.wh.b'));
      await root.mknod(at('.wh.c'), 0o010644);
      await root.put(at('.wh.a/.wh.x'), '');
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['.wh.a', '.wh.b', '.wh.c', 'a', 'b', 'c']);
      expect(await root.names(at('.wh.a'))).toEqual(['.wh.x']);
    },
  },
  {
    name: 'a lower or upper file is renamed and linked to .wh.NAME, also over another',
    lowers: [{ a: '', b: '', c: 'c', d: '', e: '' }],
    async run({ root, at }) {
      await root.rename(at('a'), at('.wh.b'));
      await root.link(at('d'), at('.wh.e'));
      await root.put(at('new'), '');
      await root.rename(at('new'), at('.wh.c'));
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['.wh.b', '.wh.c', '.wh.e', 'b', 'c', 'd', 'e']);
      expect((await root.stat(at('d'))).nlink).toBe(2);
      await root.rename(at('.wh.b'), at('plain'));
      expect(await root.names(at())).toEqual(['.wh.c', '.wh.e', 'b', 'c', 'd', 'e', 'plain']);
    },
  },
  {
    name: 'a file of a lower that is named .wh.NAME and has content is one, also when it is emptied and removed',
    lowers: [{ a: 'a', '.wh.a': 'content' }],
    async run({ root, at }) {
      expect(await root.names(at())).toEqual(['.wh.a', 'a']);
      await root.truncate(at('.wh.a'), 0);
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['.wh.a', 'a']);
      expect(await root.text(at('.wh.a'))).toBe('');
      await root.unlink(at('.wh.a'));
      expect(await root.names(at())).toEqual(['a']);
    },
  },
  {
    name: 'hard links of a lower file get and keep names of the form .wh.NAME',
    lowers: [{ a: 'one', '.wh.b': hardlink('a'), b: 'below' }],
    async run({ root, at }) {
      await root.put(at('a'), '');
      expect(await root.text(at('.wh.b'))).toBe('');
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['.wh.b', 'a', 'b']);
    },
  },
];

const reserved: readonly Row[] = [
  {
    name: 'where whiteouts are such files, a user cannot make a name that begins with .wh., nor rename or link to one',
    differs: NOT_OVERLAYFS,
    lowers: [{ a: 'x', b: 'y' }],
    async run({ root, at }) {
      for (const call of [
        root.put(at('.wh.a'), ''),
        root.mkdir(at('.wh.a')),
        root.symlink('x', at('.wh.a')),
        root.link(at('a'), at('.wh.b')),
        root.rename(at('a'), at('.wh.b')),
        root.mknod(at('.wh..wh..opq'), 0o100644),
      ]) {
        expect(await errnoOf(call)).toBe('EINVAL');
      }
      expect(await errnoOf(root.stat(at('.wh.a')))).toBe('ENOENT');
      expect(await root.names(at())).toEqual(['a', 'b']);
      expect(await root.text(at('a'))).toBe('x');
    },
  },
];

const foreign: readonly Row[] = [
  {
    name: 'a whiteout of an upper that another wrote as .wh.NAME is not replaced by a user’s file of that name',
    differs: NOT_OVERLAYFS,
    lowers: [{ a: 'hidden', b: 'b' }],
    upper: { '.wh.a': '' },
    async run({ root, at }) {
      expect(await errnoOf(root.put(at('.wh.a'), ''))).toBe('EINVAL');
      expect(await errnoOf(root.rename(at('b'), at('.wh.a')))).toBe('EINVAL');
      expect(await root.names(at())).toEqual(['b']);
    },
  },
];

conformance('names of the form .wh.NAME', [...ordinary, ...foreign]);
conformance('names of the form .wh.NAME in use', reserved, { environment: ['FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT=1'] });
