import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { type Tree, directory, file, snapshot } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const LONGEST = 'n'.repeat(255);
const NOT_FOLLOWED = { 'user namespace': 'the redirects of trusted.* cannot be made there' } as const;

function redirectTo(target: string, content: Tree = {}): Tree[string] {
  return directory(content, { xattrs: { 'trusted.overlay.redirect': target } });
}

const renames: readonly Row[] = [
  {
    name: 'a lower directory is renamed onto the name of a hidden file and of a hidden directory',
    lowers: [{ d: { a: 'a' }, e: { b: 'b' }, file: 'hidden', dir: { hidden: '' } }],
    async run({ root, at }) {
      await root.unlink(at('file'));
      await root.unlink(at('dir/hidden'));
      await root.rmdir(at('dir'));
      await root.rename(at('d'), at('file'));
      await root.rename(at('e'), at('dir'));
      expect(await root.names(at())).toEqual(['dir', 'file']);
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['dir', 'file']);
      expect(await root.names(at('file'))).toEqual(['a']);
      expect(await root.names(at('dir'))).toEqual(['b']);
    },
  },
  {
    name: 'a lower directory is renamed away and back to its old name, again and again',
    lowers: [{ d: { a: 'a' } }, { d: { b: 'b' } }],
    async run({ root, at, remount }) {
      for (const name of ['e', 'f']) {
        await root.rename(at('d'), at(name));
        expect(await root.names(at(name))).toEqual(['a', 'b']);
        await root.rename(at(name), at('d'));
        expect(await root.names(at())).toEqual(['d']);
        await remount();
        expect(await root.names(at('d'))).toEqual(['a', 'b']);
      }
    },
  },
  {
    name: 'directories are renamed within a renamed one, each over a remount',
    lowers: [{ a: { b: { c: { d: { f: 'deep' } } } }, to: {} }],
    async run({ root, at, remount }) {
      await root.rename(at('a'), at('A'));
      await remount();
      await root.rename(at('A/b'), at('A/B'));
      await remount();
      await root.rename(at('A/B/c'), at('to/C'));
      await remount();
      await root.rename(at('to/C/d'), at('to/C/D'));
    },
    async after({ root, at }) {
      expect(await root.text(at('to/C/D/f'))).toBe('deep');
      expect(await root.names(at('A/B'))).toEqual([]);
      expect(await root.names(at())).toEqual(['A', 'to']);
    },
  },
  {
    name: 'two directories change places by a third name, and their children with them',
    lowers: [{ a: { in: 'a' }, b: { in: 'b' } }],
    async run({ root, at }) {
      await root.rename(at('a'), at('t'));
      await root.rename(at('b'), at('a'));
      await root.rename(at('t'), at('b'));
      expect(await root.text(at('a/in'))).toBe('b');
    },
    async after({ root, at }) {
      expect(await root.text(at('a/in'))).toBe('b');
      expect(await root.text(at('b/in'))).toBe('a');
      expect(await root.names(at())).toEqual(['a', 'b']);
    },
  },
  {
    name: 'a file of a renamed lower directory is changed, removed, and another made in it',
    lowers: [{ d: { change: 'old', gone: '', sub: { x: 'x' } } }],
    async run({ root, at, lower }) {
      const before = await snapshot(root, lower(0));
      await root.rename(at('d'), at('e'));
      await root.put(at('e/change'), 'new');
      await root.unlink(at('e/gone'));
      await root.put(at('e/made'), 'made');
      await root.put(at('e/sub/x'), 'y');
      expect(await snapshot(root, lower(0))).toEqual(before);
    },
    async after({ root, at }) {
      expect(await root.names(at('e'))).toEqual(['change', 'made', 'sub']);
      expect(await root.text(at('e/change'))).toBe('new');
      expect(await root.text(at('e/sub/x'))).toBe('y');
    },
  },
  {
    name: 'a renamed directory is removed, and neither its new name nor its old one comes back',
    lowers: [{ d: { a: '' } }],
    async run({ root, at }) {
      await root.rename(at('d'), at('e'));
      await root.unlink(at('e/a'));
      await root.rmdir(at('e'));
      await root.mkdir(at('e'));
      expect(await root.names(at('e'))).toEqual([]);
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['e']);
      expect(await root.names(at('e'))).toEqual([]);
    },
  },
  {
    name: 'what is made anew where a renamed directory was keeps apart from it',
    lowers: [{ d: { a: 'old', sub: { s: 'old' } } }],
    async run({ root, at }) {
      await root.rename(at('d'), at('e'));
      await root.mkdir(at('d'));
      await root.put(at('d/a'), 'new');
      await root.mkdir(at('d/sub'));
      await root.rename(at('e/sub'), at('d/old-sub'));
    },
    async after({ root, at }) {
      expect(await root.text(at('d/a'))).toBe('new');
      expect(await root.text(at('e/a'))).toBe('old');
      expect(await root.names(at('d/sub'))).toEqual([]);
      expect(await root.text(at('d/old-sub/s'))).toBe('old');
    },
  },
  {
    name: 'a directory that a lower directory holds moves up, and its old parent to below it',
    lowers: [{ p: { c: { x: 'x' }, y: 'y' } }],
    async run({ root, at }) {
      await root.rename(at('p/c'), at('c'));
      await root.rename(at('p'), at('c/p'));
    },
    async after({ root, at }) {
      expect(await root.names(at('c'))).toEqual(['p', 'x']);
      expect(await root.names(at('c/p'))).toEqual(['y']);
    },
  },
  {
    name: 'a lower directory into itself is EINVAL, into what it was renamed to as well',
    lowers: [{ d: { e: {} } }],
    async run({ root, at }) {
      expect(await errnoOf(root.rename(at('d'), at('d/e/d')))).toBe('EINVAL');
      await root.rename(at('d'), at('n'));
      expect(await errnoOf(root.rename(at('n'), at('n/e/n')))).toBe('EINVAL');
      expect(await errnoOf(root.rename(at('n/e'), at('n')))).toBe('ENOTEMPTY');
    },
  },
  {
    name: 'names of 255 bytes are redirected, to and from',
    lowers: [{ [LONGEST]: { a: 'a' }, d: { b: 'b' } }],
    async run({ root, at }) {
      await root.rename(at(LONGEST), at('short'));
      await root.rename(at('d'), at(LONGEST));
    },
    async after({ root, at }) {
      expect(await root.names(at('short'))).toEqual(['a']);
      expect(await root.names(at(LONGEST))).toEqual(['b']);
    },
  },
  {
    name: 'a directory below a path of over 256 bytes is moved out of it',
    differs: { kernel: 'overlayfs writes no absolute redirect of over 256 bytes (its parameter redirect_max): EXDEV' },
    lowers: [{ [LONGEST]: { [LONGEST]: { d: { a: 'a' } } } }],
    async run({ root, at }) {
      await root.rename(at(`${LONGEST}/${LONGEST}/d`), at('d'));
    },
    async after({ root, at }) {
      expect(await root.names(at('d'))).toEqual(['a']);
    },
  },
  {
    name: 'names of any bytes are redirected',
    lowers: [{ 'not-utf8-\xff': { a: 'a' }, 'with space\n': { b: 'b' } }],
    async run({ root, at }) {
      await root.rename(at('not-utf8-\xff'), at('\x80\x81'));
      await root.mkdir(at('to'));
      await root.rename(at('with space\n'), at('to/c:d,e'));
    },
    async after({ root, at }) {
      expect(await root.names(at('\x80\x81'))).toEqual(['a']);
      expect(await root.names(at('to/c:d,e'))).toEqual(['b']);
    },
  },
  {
    name: 'what is open in a lower directory, and who works in it, goes on after its rename',
    lowers: [{ d: { a: 'content', sub: {} } }],
    async run({ root, at }) {
      const fd = await root.open(at('d/a'), 0);
      await root.chdir(at('d/sub'));
      await root.rename(at('d'), at('e'));
      expect((await root.read(fd, 100)).toString()).toBe('content');
      await root.put('made', 'here');
      await root.put('../a', 'changed');
      expect(await root.text(at('e/sub/made'))).toBe('here');
      expect((await root.pread(fd, 100, 0)).toString()).toBe('changed');
    },
  },
  {
    name: 'a lower hard link in a renamed directory is still one with its others',
    lowers: [{ d: { a: 'x' }, other: { sub: {} } }],
    async run({ root, at }) {
      await root.link(at('d/a'), at('other/b'));
      await root.rename(at('d'), at('other/sub/d'));
      await root.put(at('other/sub/d/a'), 'changed');
      expect(await root.text(at('other/b'))).toBe('changed');
    },
    async after({ root, at }) {
      expect((await root.stat(at('other/b'))).ino).toBe((await root.stat(at('other/sub/d/a'))).ino);
      expect((await root.stat(at('other/b'))).nlink).toBe(2);
    },
  },
];

const inLayers: readonly Row[] = [
  {
    name: 'a relative redirect in a lower layer leads to that name in the layers below',
    differs: NOT_FOLLOWED,
    needs: ['trusted xattrs'],
    lowers: [{ new: redirectTo('old', { top: '' }) }, { old: { bottom: 'b' } }],
    async run({ root, at }) {
      expect(await root.names(at('new'))).toEqual(['bottom', 'top']);
      expect(await root.listxattr(at('new'))).toEqual([]);
      await root.put(at('new/bottom'), 'changed');
    },
    async after({ root, at }) {
      expect(await root.text(at('new/bottom'))).toBe('changed');
    },
  },
  {
    name: 'redirects of several layers are followed one after the other',
    differs: NOT_FOLLOWED,
    needs: ['trusted xattrs'],
    lowers: [{ c: redirectTo('b', { top: '' }) }, { b: redirectTo('a', { middle: '' }) }, { a: { bottom: '' } }],
    async run({ root, at }) {
      expect(await root.names(at('c'))).toEqual(['bottom', 'middle', 'top']);
      await root.rename(at('c'), at('d'));
    },
    async after({ root, at }) {
      expect(await root.names(at('d'))).toEqual(['bottom', 'middle', 'top']);
    },
  },
  {
    name: 'a redirect to what is not there or is no directory shows the directory alone',
    differs: NOT_FOLLOWED,
    needs: ['trusted xattrs'],
    lowers: [
      { none: redirectTo('nowhere', { top: '' }), blocked: redirectTo('file', { top: '' }) },
      { file: 'x', none: { hidden: '' }, blocked: { hidden: '' } },
    ],
    async run({ root, at }) {
      expect(await root.names(at('none'))).toEqual(['top']);
      expect(await root.names(at('blocked'))).toEqual(['top']);
    },
  },
  {
    name: 'a redirect that leads out of its layer, or is none, is not followed',
    differs: NOT_FOLLOWED,
    needs: ['trusted xattrs'],
    lowers: [
      {
        up: redirectTo('../..', { top: '' }),
        root: redirectTo('/../../../../etc', { top: '' }),
        slash: redirectTo('a/b', { top: '' }),
        empty: redirectTo('', { top: '' }),
      },
      { a: { b: { hidden: '' } }, up: { hidden: '' } },
    ],
    async run({ root, at, mounter }) {
      for (const name of ['up', 'root', 'slash', 'empty']) {
        const names = root.names(at(name));
        // Overlayfs refuses to look such a directory up; either way nothing from outside shows.
        const shown = mounter.kind === 'kernel' ? await names.catch(() => ['top']) : await names;
        expect([name, shown]).toEqual([name, ['top']]);
      }
    },
  },
  {
    name: 'a metacopy beside a redirected directory keeps its content',
    lowers: [{ d: { a: file('content', { mode: 0o644 }) } }],
    async run({ root, at }) {
      await root.chmod(at('d/a'), 0o600);
      await root.rename(at('d'), at('e'));
      await root.rename(at('e/a'), at('b'));
      await root.mkdir(at('d'));
    },
    async after({ root, at }) {
      expect(await root.text(at('b'))).toBe('content');
      expect((await root.stat(at('b'))).mode).toBe(0o100600);
      expect(await root.names(at('e'))).toEqual([]);
    },
  },
];

conformance('redirects', [...renames, ...inLayers]);
