import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { directory, file } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;

const rows: readonly Row[] = [
  {
    name: 'set, get, list and remove on upper, lower and directory',
    lowers: [{ low: 'l', d: {} }],
    async run({ root, at, lower }) {
      await root.put(at('up'), 'u');
      for (const name of ['up', 'low', 'd']) {
        await root.setxattr(at(name), 'user.one', 'value\0\xff');
        await root.setxattr(at(name), 'user.two', '');
        expect(await root.getxattr(at(name), 'user.one')).toBe('value\0\xff');
        expect(await root.getxattr(at(name), 'user.two')).toBe('');
        expect(await root.listxattr(at(name))).toEqual(['user.one', 'user.two']);
        await root.removexattr(at(name), 'user.one');
        expect(await root.listxattr(at(name))).toEqual(['user.two']);
      }
      expect(await root.listxattr(lower(0, 'low'))).toEqual([]);
    },
  },
  {
    name: 'xattrs of a lower file are read, and survive a copy-up and a remount',
    lowers: [{ a: file('x', { xattrs: { 'user.a': '1', 'user.b': Buffer.alloc(1_000, 'b') } }) }],
    async run({ root, at }) {
      expect(await root.listxattr(at('a'))).toEqual(['user.a', 'user.b']);
      await root.chmod(at('a'), 0o600);
      await root.put(at('a'), 'y', 1);
    },
    async after({ root, at }) {
      expect(await root.listxattr(at('a'))).toEqual(['user.a', 'user.b']);
      expect(await root.getxattr(at('a'), 'user.b')).toBe('b'.repeat(1_000));
    },
  },
  {
    name: 'XATTR_CREATE refuses one that is there, XATTR_REPLACE one that is not',
    lowers: [{ a: file('x', { xattrs: { 'user.a': '1' } }) }],
    async run({ root, at }) {
      expect(await errnoOf(root.setxattr(at('a'), 'user.a', '2', XATTR_CREATE))).toBe('EEXIST');
      expect(await errnoOf(root.setxattr(at('a'), 'user.b', '2', XATTR_REPLACE))).toBe('ENODATA');
      await root.setxattr(at('a'), 'user.a', '3', XATTR_REPLACE);
      await root.setxattr(at('a'), 'user.b', '4', XATTR_CREATE);
      expect(await root.getxattr(at('a'), 'user.a')).toBe('3');
      expect(await root.getxattr(at('a'), 'user.b')).toBe('4');
    },
  },
  {
    name: 'a value that does not fit is ERANGE, without room its length is told',
    lowers: [{ a: file('x', { xattrs: { 'user.a': '12345' } }) }],
    async run({ root, at }) {
      expect(await errnoOf(root.getxattr(at('a'), 'user.a', 4))).toBe('ERANGE');
      expect(await root.xattrLength(at('a'), 'user.a')).toBe(5);
      expect(await errnoOf(root.listxattr(at('a'), 4))).toBe('ERANGE');
      expect(await root.xattrListLength(at('a'))).toBe('user.a\0'.length);
    },
  },
  {
    name: 'one that is not there is ENODATA, to read and to remove',
    lowers: [{ a: 'x', d: {} }],
    async run({ root, at }) {
      for (const name of ['a', 'd']) {
        expect(await errnoOf(root.getxattr(at(name), 'user.none'))).toBe('ENODATA');
        expect(await errnoOf(root.removexattr(at(name), 'user.none'))).toBe('ENODATA');
      }
    },
  },
  {
    name: 'user.* on a symlink is EPERM',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      await root.symlink('a', at('s'));
      expect(await errnoOf(root.setxattr(at('s'), 'user.x', 'y'))).toBe('EPERM');
    },
  },
  {
    name: 'trusted.* is kept',
    needs: ['trusted xattrs'],
    lowers: [{ a: file('x', { xattrs: { 'trusted.mine': '1' } }) }],
    async run({ root, at }) {
      expect(await root.getxattr(at('a'), 'trusted.mine')).toBe('1');
      await root.setxattr(at('a'), 'trusted.other', '2');
      expect(await root.listxattr(at('a'))).toEqual(['trusted.mine', 'trusted.other']);
    },
  },
  {
    name: "the union's own trusted.overlay.* are not listed and not read",
    needs: ['trusted xattrs'],
    lowers: [
      {
        d: directory({}, { xattrs: { 'trusted.overlay.opaque': 'y', 'user.keep': '1' } }),
        f: file('x', { xattrs: { 'trusted.overlay.foreign': 'x' } }),
      },
    ],
    async run({ root, at }) {
      expect(await root.listxattr(at('d'))).toEqual(['user.keep']);
      expect(await root.listxattr(at('f'))).toEqual([]);
      expect(await errnoOf(root.getxattr(at('f'), 'trusted.overlay.foreign'))).not.toBe('none');
    },
  },
  {
    name: 'nothing of trusted.overlay.* can be set, read or removed, so no user makes an opaque mark',
    needs: ['trusted xattrs'],
    differs: { kernel: 'overlayfs lets root store them escaped, for an overlay on an overlay' },
    lowers: [{ d: { a: '' } }],
    async run({ root, at }) {
      expect(await errnoOf(root.setxattr(at('d'), 'trusted.overlay.opaque', 'y'))).toBe('EPERM');
      expect(await errnoOf(root.setxattr(at('d'), 'trusted.overlay.redirect', '/x'))).toBe('EPERM');
      expect(await root.names(at('d'))).toEqual(['a']);
    },
  },
  {
    name: 'user.overlay.* and user.fuseoverlayfs.* are hidden and cannot be set',
    differs: { kernel: 'without userxattr overlayfs takes user.overlay.* for names like any other' },
    lowers: [{ d: directory({ a: '' }, { xattrs: { 'user.overlay.origin': 'x', 'user.fuseoverlayfs.origin': 'y' } }) }],
    async run({ root, at }) {
      expect(await root.listxattr(at('d'))).toEqual([]);
      for (const name of ['user.overlay.opaque', 'user.fuseoverlayfs.opaque', 'user.overlay.x']) {
        expect(await errnoOf(root.setxattr(at('d'), name, 'y'))).toBe('EPERM');
        expect(await errnoOf(root.getxattr(at('d'), name))).not.toBe('none');
      }
      expect(await root.names(at('d'))).toEqual(['a']);
    },
  },
  {
    name: 'a copied-up file shows none of the marks that copy-up leaves',
    lowers: [{ d: { a: 'x' } }],
    async run({ root, at }) {
      await root.put(at('d/a'), 'y');
      expect(await root.listxattr(at('d/a'))).toEqual([]);
      expect(await root.listxattr(at('d'))).toEqual([]);
    },
  },
  {
    name: 'a new directory over a whiteout shows no opaque mark',
    lowers: [{ d: { a: 'x' } }],
    async run({ root, at }) {
      await root.unlink(at('d/a'));
      await root.rmdir(at('d'));
      await root.mkdir(at('d'));
      expect(await root.listxattr(at('d'))).toEqual([]);
      expect(await root.names(at('d'))).toEqual([]);
    },
  },
  {
    name: 'setting an xattr changes ctime, not mtime',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      const before = await root.stat(at('a'));
      await root.setxattr(at('a'), 'user.x', 'y');
      const after = await root.stat(at('a'));
      expect(after.mtime).toBe(before.mtime);
      expect(after.ctime).toBeGreaterThan(before.ctime);
    },
  },
  {
    name: 'a name that is too long or of no namespace is refused',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      expect(await errnoOf(root.setxattr(at('a'), `user.${'x'.repeat(251)}`, 'y'))).toBe('ERANGE');
      expect(await errnoOf(root.setxattr(at('a'), 'nonsense', 'y'))).toBe('EOPNOTSUPP');
      expect(await errnoOf(root.setxattr(at('a'), `user.${'x'.repeat(250)}`, 'y'))).toBe('none');
    },
  },
  {
    name: 'file capabilities are set by root, read and kept over copy-up',
    lowers: [{ a: 'x', b: 'y' }],
    async run({ root, at, remount }) {
      // cap_net_raw+ep, VFS_CAP_REVISION_2.
      const value = Buffer.from('0100000200200000000000000000000000000000', 'hex');
      // Each change shows, whatever was answered before.
      expect(await errnoOf(root.getxattr(at('a'), 'security.capability'))).toBe('ENODATA');
      await root.setxattr(at('a'), 'security.capability', value);
      expect(Buffer.from(await root.getxattr(at('a'), 'security.capability'), 'latin1').equals(value)).toBe(true);
      await root.removexattr(at('a'), 'security.capability');
      expect(await errnoOf(root.getxattr(at('a'), 'security.capability'))).toBe('ENODATA');
      await root.setxattr(at('a'), 'security.capability', value);
      await root.chmod(at('a'), 0o755);
      await remount();
      expect(Buffer.from(await root.getxattr(at('a'), 'security.capability'), 'latin1').equals(value)).toBe(true);
    },
  },
];

conformance('xattrs', rows);
