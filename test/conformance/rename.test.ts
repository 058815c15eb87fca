import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { directory, snapshot, symlink } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const O_DIRECTORY = process.arch === 'arm64' ? 0o40000 : 0o200000;
const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;
const RENAME_WHITEOUT = 4;
const OLD = 1_000_000_000_123_456_789n;

const files: readonly Row[] = [
  {
    name: 'rename of an upper file',
    lowers: [{ d: {} }],
    async run({ root, at, upper }) {
      await root.put(at('a'), 'x');
      const { ino } = await root.stat(at('a'));
      await root.rename(at('a'), at('d/b'));
      expect(await root.text(at('d/b'))).toBe('x');
      expect((await root.stat(at('d/b'))).ino).toBe(ino);
      expect(await errnoOf(root.stat(at('a')))).toBe('ENOENT');
      expect(await root.names(upper())).toEqual(['d']);
    },
  },
  {
    name: 'rename of a lower file hides the old name, after a remount too',
    lowers: [{ a: 'x', d: {} }],
    async run({ root, at, lower, remount }) {
      const before = await snapshot(root, lower(0));
      const { ino } = await root.stat(at('a'));
      await root.rename(at('a'), at('d/b'));
      expect((await root.stat(at('d/b'))).ino).toBe(ino);
      await remount();
      expect(await root.text(at('d/b'))).toBe('x');
      expect(await root.names(at())).toEqual(['d']);
      expect(await snapshot(root, lower(0))).toEqual(before);
    },
  },
  {
    name: 'rename over a lower file, an upper file and a copied-up one',
    lowers: [{ low: 'low', changed: 'low', a: 'a', b: 'b' }],
    async run({ root, at }) {
      await root.put(at('up'), 'up');
      await root.put(at('c'), 'c');
      await root.chmod(at('changed'), 0o600);
      await root.rename(at('a'), at('low'));
      await root.rename(at('b'), at('up'));
      await root.rename(at('c'), at('changed'));
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['changed', 'low', 'up']);
      expect(await root.text(at('low'))).toBe('a');
      expect(await root.text(at('up'))).toBe('b');
      expect(await root.text(at('changed'))).toBe('c');
    },
  },
  {
    name: 'rename onto a whiteout, and back',
    lowers: [{ a: 'a', gone: 'old' }],
    async run({ root, at }) {
      await root.unlink(at('gone'));
      await root.rename(at('a'), at('gone'));
      expect(await root.names(at())).toEqual(['gone']);
      await root.rename(at('gone'), at('a'));
      expect(await root.names(at())).toEqual(['a']);
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['a']);
      expect(await root.text(at('a'))).toBe('a');
    },
  },
  {
    name: 'rename of a file to itself and to its own hard link does nothing',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      await root.rename(at('a'), at('a'));
      expect(await root.text(at('a'))).toBe('x');
      await root.link(at('a'), at('b'));
      await root.rename(at('a'), at('b'));
      expect(await root.names(at())).toEqual(['a', 'b']);
    },
  },
  {
    name: 'RENAME_NOREPLACE refuses what any layer has and takes what is hidden',
    lowers: [{ low: '', gone: '', a: 'a' }],
    async run({ root, at }) {
      await root.put(at('up'), '');
      await root.unlink(at('gone'));
      expect(await errnoOf(root.rename(at('a'), at('low'), RENAME_NOREPLACE))).toBe('EEXIST');
      expect(await errnoOf(root.rename(at('a'), at('up'), RENAME_NOREPLACE))).toBe('EEXIST');
      await root.rename(at('a'), at('gone'), RENAME_NOREPLACE);
      expect(await root.text(at('gone'))).toBe('a');
    },
  },
  {
    name: 'RENAME_EXCHANGE of upper files, and of an upper with a lower one',
    lowers: [{ low: 'low' }],
    async run({ root, at }) {
      await root.put(at('a'), 'a');
      await root.put(at('b'), 'b');
      await root.rename(at('a'), at('b'), RENAME_EXCHANGE);
      expect([await root.text(at('a')), await root.text(at('b'))]).toEqual(['b', 'a']);
      await root.rename(at('a'), at('low'), RENAME_EXCHANGE);
    },
    async after({ root, at }) {
      expect([await root.text(at('a')), await root.text(at('low'))]).toEqual(['low', 'b']);
    },
  },
  {
    name: 'RENAME_EXCHANGE with a name that is not there is ENOENT',
    lowers: [{ a: '' }],
    async run({ root, at }) {
      expect(await errnoOf(root.rename(at('a'), at('none'), RENAME_EXCHANGE))).toBe('ENOENT');
    },
  },
  {
    name: 'RENAME_EXCHANGE of a file and a new directory',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('f'), 'file');
      await root.mkdir(at('d'));
      await root.put(at('d/x'), '');
      await root.rename(at('f'), at('d'), RENAME_EXCHANGE);
      expect(await root.text(at('d'))).toBe('file');
      expect(await root.names(at('f'))).toEqual(['x']);
    },
  },
  {
    name: 'a user of the mount cannot leave a whiteout by RENAME_WHITEOUT',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      expect(await errnoOf(root.rename(at('a'), at('b'), RENAME_WHITEOUT))).toBe('EINVAL');
      expect(await root.names(at())).toEqual(['a']);
    },
  },
  {
    name: 'rename of a symlink and of a fifo moves them, not what they lead to',
    lowers: [{ s: symlink('f'), f: 'x' }],
    async run({ root, at }) {
      await root.rename(at('s'), at('t'));
      expect(await root.readlink(at('t'))).toBe('f');
      await root.mknod(at('p'), 0o010600);
      await root.rename(at('p'), at('q'));
      expect((await root.stat(at('q'))).mode).toBe(0o010600);
      expect(await root.names(at())).toEqual(['f', 'q', 't']);
    },
  },
  {
    name: 'rename changes the times of both directories',
    lowers: [{ from: directory({ a: '' }, { mtime: OLD }), to: directory({}, { mtime: OLD }) }],
    async run({ root, at }) {
      await root.rename(at('from/a'), at('to/a'));
      expect((await root.stat(at('from'))).mtime).toBeGreaterThan(OLD);
      expect((await root.stat(at('to'))).mtime).toBeGreaterThan(OLD);
    },
  },
  {
    name: 'a file open while it is renamed over stays what it was',
    lowers: [{ a: 'old', b: 'new' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), 0);
      await root.rename(at('b'), at('a'));
      expect((await root.read(fd, 10)).toString()).toBe('old');
      expect(await root.text(at('a'))).toBe('new');
      await root.close(fd);
    },
  },
  {
    name: 'a lower file open while it is renamed over has no links left',
    differs: { kernel: 'overlayfs tells the link count in the lower' },
    lowers: [{ a: 'old', b: 'new' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), 0);
      await root.rename(at('b'), at('a'));
      expect((await root.fstat(fd)).nlink).toBe(0);
    },
  },
  {
    name: 'the pattern of editors: write aside, rename over a lower file',
    lowers: [{ etc: { passwd: 'old' } }],
    async run({ root, at }) {
      await root.put(at('etc/.passwd.tmp'), 'new');
      await root.link(at('etc/passwd'), at('etc/passwd-'));
      await root.rename(at('etc/.passwd.tmp'), at('etc/passwd'));
    },
    async after({ root, at }) {
      expect(await root.names(at('etc'))).toEqual(['passwd', 'passwd-']);
      expect(await root.text(at('etc/passwd'))).toBe('new');
      expect(await root.text(at('etc/passwd-'))).toBe('old');
    },
  },
];

const directories: readonly Row[] = [
  {
    name: 'rename of an upper directory with what is in it',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      await root.mkdir(at('n'));
      await root.mkdir(at('n/m'));
      await root.put(at('n/m/f'), 'x');
      await root.rename(at('n'), at('d/moved'));
      expect(await root.text(at('d/moved/m/f'))).toBe('x');
      expect(await errnoOf(root.stat(at('n')))).toBe('ENOENT');
      await root.put(at('d/moved/m/g'), 'y');
    },
    async after({ root, at }) {
      expect(await root.names(at('d/moved/m'))).toEqual(['f', 'g']);
    },
  },
  {
    name: 'rename of an upper directory onto the name of a removed lower one shows nothing of it',
    lowers: [{ d: { old: '' } }],
    async run({ root, at }) {
      await root.unlink(at('d/old'));
      await root.rmdir(at('d'));
      await root.mkdir(at('n'));
      await root.put(at('n/new'), '');
      await root.rename(at('n'), at('d'));
      expect(await root.names(at('d'))).toEqual(['new']);
    },
    async after({ root, at }) {
      expect(await root.names(at('d'))).toEqual(['new']);
    },
  },
  {
    name: 'rename of an upper directory over an empty lower and an empty merged directory',
    lowers: [{ low: {}, both: { x: '' } }],
    async run({ root, at }) {
      await root.unlink(at('both/x'));
      for (const name of ['low', 'both']) {
        await root.mkdir(at('n'));
        await root.put(at(`n/in-${name}`), '');
        await root.rename(at('n'), at(name));
      }
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['both', 'low']);
      expect(await root.names(at('low'))).toEqual(['in-low']);
      expect(await root.names(at('both'))).toEqual(['in-both']);
    },
  },
  {
    name: 'rename over a directory that is not empty is ENOTEMPTY, lower or upper',
    lowers: [{ low: { x: '' } }],
    async run({ root, at }) {
      await root.mkdir(at('n'));
      await root.mkdir(at('up'));
      await root.put(at('up/x'), '');
      expect(await errnoOf(root.rename(at('n'), at('low')))).toBe('ENOTEMPTY');
      expect(await errnoOf(root.rename(at('n'), at('up')))).toBe('ENOTEMPTY');
    },
  },
  {
    name: 'a file over a directory is EISDIR, a directory over a file ENOTDIR',
    lowers: [{ f: '', d: {} }],
    async run({ root, at }) {
      await root.mkdir(at('n'));
      expect(await errnoOf(root.rename(at('f'), at('d')))).toBe('EISDIR');
      expect(await errnoOf(root.rename(at('n'), at('f')))).toBe('ENOTDIR');
    },
  },
  {
    name: 'a directory that is open while another is renamed over it is still there for who has it',
    lowers: [{ low: {} }],
    async run({ root, at }) {
      await root.mkdir(at('up'));
      for (const name of ['up', 'low']) {
        await root.mkdir(at('n'));
        const fd = await root.open(at(name), O_DIRECTORY);
        const { ino } = await root.fstat(fd);
        await root.rename(at('n'), at(name));
        expect((await root.fstat(fd)).ino).toBe(ino);
        expect((await root.stat(at(name))).ino).not.toBe(ino);
        if (name === 'up') await root.fchmod(fd, 0o700);
        expect((await root.fstat(fd)).mode).toBe(name === 'up' ? 0o040700 : 0o040755);
      }
    },
  },
  {
    name: 'a directory into itself is EINVAL',
    lowers: [{}],
    async run({ root, at }) {
      await root.mkdir(at('n'));
      await root.mkdir(at('n/m'));
      expect(await errnoOf(root.rename(at('n'), at('n/m/n')))).toBe('EINVAL');
      expect(await errnoOf(root.rename(at('n/m'), at('n')))).toBe('ENOTEMPTY');
    },
  },
  {
    name: 'what is open and whose working directory is in a renamed directory goes on',
    lowers: [{}],
    async run({ root, at }) {
      await root.mkdir(at('n'));
      await root.put(at('n/f'), 'x');
      const fd = await root.open(at('n/f'), 2);
      await root.chdir(at('n'));
      await root.rename(at('n'), at('m'));
      await root.write(fd, 'y');
      expect(await root.text('f')).toBe('y');
      await root.put('g', 'z');
      await root.chdir('/');
      await root.close(fd);
      expect(await root.names(at('m'))).toEqual(['f', 'g']);
    },
  },
];

const redirected: readonly Row[] = [
  {
    name: 'rename of a lower directory, with what is in it, after a remount too',
    lowers: [{ d: { a: 'a', e: { f: 'f' } }, to: {} }, { d: { b: 'b' } }],
    async run({ root, at }) {
      await root.rename(at('d'), at('to/moved'));
      expect(await root.names(at('to/moved'))).toEqual(['a', 'b', 'e']);
    },
    async after({ root, at }) {
      expect(await root.text(at('to/moved/e/f'))).toBe('f');
      expect(await root.text(at('to/moved/b'))).toBe('b');
      expect(await errnoOf(root.stat(at('d')))).toBe('ENOENT');
    },
  },
  {
    name: 'rename of a merged directory that was changed',
    lowers: [{ d: { a: 'a', b: 'b' } }],
    async run({ root, at }) {
      await root.unlink(at('d/a'));
      await root.put(at('d/n'), 'n');
      await root.rename(at('d'), at('moved'));
    },
    async after({ root, at }) {
      expect(await root.names(at('moved'))).toEqual(['b', 'n']);
    },
  },
  {
    name: 'rename of a lower directory onto an empty lower directory, and of another into its old place',
    lowers: [{ d: { a: 'a' }, empty: {}, other: { o: 'o' } }],
    async run({ root, at }) {
      await root.rename(at('d'), at('empty'));
      await root.rename(at('other'), at('d'));
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['d', 'empty']);
      expect(await root.names(at('empty'))).toEqual(['a']);
      expect(await root.names(at('d'))).toEqual(['o']);
    },
  },
  {
    name: 'rename of a lower directory twice, and of one in it, then back',
    lowers: [{ d: { sub: { x: 'x' } } }, { d: { sub: { y: 'y' } } }],
    async run({ root, at, remount }) {
      await root.rename(at('d'), at('e'));
      await root.rename(at('e/sub'), at('sub'));
      await root.rename(at('e'), at('sub/e'));
      await remount();
      expect(await root.names(at('sub'))).toEqual(['e', 'x', 'y']);
      expect(await root.names(at('sub/e'))).toEqual([]);
      await root.rename(at('sub/e'), at('d'));
      await root.rename(at('sub'), at('d/sub'));
      await remount();
      expect(await root.names(at())).toEqual(['d']);
      expect(await root.text(at('d/sub/y'))).toBe('y');
    },
  },
  {
    name: 'a directory made where a renamed one was is empty',
    lowers: [{ d: { a: 'a' } }],
    async run({ root, at }) {
      await root.rename(at('d'), at('moved'));
      await root.mkdir(at('d'));
      expect(await root.names(at('d'))).toEqual([]);
    },
    async after({ root, at }) {
      expect(await root.names(at('d'))).toEqual([]);
      expect(await root.names(at('moved'))).toEqual(['a']);
    },
  },
  {
    name: 'RENAME_EXCHANGE of two lower directories, and of a directory with a file',
    lowers: [{ d: { a: 'a' }, e: { b: 'b' }, f: 'file' }],
    async run({ root, at }) {
      await root.rename(at('d'), at('e'), RENAME_EXCHANGE);
      await root.rename(at('d'), at('f'), RENAME_EXCHANGE);
    },
    async after({ root, at }) {
      expect(await root.names(at('e'))).toEqual(['a']);
      expect(await root.names(at('f'))).toEqual(['b']);
      expect(await root.text(at('d'))).toBe('file');
    },
  },
  {
    name: 'a renamed lower directory keeps its number, and shows no redirect to its users',
    lowers: [{ d: { a: 'a' } }],
    async run({ root, at, remount }) {
      const { ino } = await root.stat(at('d'));
      await root.rename(at('d'), at('moved'));
      expect((await root.stat(at('moved'))).ino).toBe(ino);
      await remount();
      expect((await root.stat(at('moved'))).ino).toBe(ino);
      expect(await root.listxattr(at('moved'))).toEqual([]);
    },
  },
];

const withoutRedirects: readonly Row[] = [
  {
    name: 'rename of a lower or merged directory is EXDEV, which mv answers with a copy, and changes nothing',
    lowers: [{ low: { a: 'a' }, both: { b: 'b' } }],
    upper: { both: { u: 'u' } },
    async run({ root, at }) {
      expect(await errnoOf(root.rename(at('low'), at('moved')))).toBe('EXDEV');
      expect(await errnoOf(root.rename(at('both'), at('moved')))).toBe('EXDEV');
      expect(await root.names(at())).toEqual(['both', 'low']);
      expect(await root.names(at('low'))).toEqual(['a']);
    },
  },
  {
    name: 'rename of a directory that only the upper has goes on',
    lowers: [{ to: {} }],
    async run({ root, at }) {
      await root.mkdir(at('n'));
      await root.put(at('n/f'), 'x');
      await root.rename(at('n'), at('to/m'));
      expect(await root.text(at('to/m/f'))).toBe('x');
    },
  },
];

conformance('rename', [...files, ...directories, ...redirected]);

conformance('rename with redirect_dir=off', withoutRedirects, {
  options: { kernel: ['redirect_dir=off', 'metacopy=off'], lamina: ['redirect_dir=off', 'metacopy=off'] },
});
