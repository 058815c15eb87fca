import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { directory, snapshot } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const O_CREAT_EXCL = 0o301;
const OLD = 1_000_000_000_123_456_789n;

const rows: readonly Row[] = [
  {
    name: 'create in a lower directory copies its parents up with mode, owner, times and xattrs',
    needs: ['many ids'],
    lowers: [
      {
        d: directory(
          {
            e: directory({}, { mode: 0o2775, uid: 7, gid: 8, mtime: OLD, xattrs: { 'user.e': 'E' } }),
          },
          { mode: 0o751, uid: 5, gid: 6, mtime: OLD, xattrs: { 'user.d': 'D' } },
        ),
      },
    ],
    async run({ root, at, upper, lower }) {
      const before = await snapshot(root, lower(0));
      await root.put(at('d/e/new'), 'x');
      for (const path of [at('d'), upper('d')]) {
        const status = await root.stat(path);
        expect(status).toMatchObject({ mode: 0o040751, uid: 5, gid: 6, mtime: OLD });
        expect(await root.getxattr(path, 'user.d')).toBe('D');
      }
      for (const path of [at('d/e'), upper('d/e')]) {
        expect(await root.stat(path)).toMatchObject({ mode: 0o042775, uid: 7, gid: 8 });
        expect(await root.getxattr(path, 'user.e')).toBe('E');
      }
      expect(await snapshot(root, lower(0))).toEqual(before);
    },
  },
  {
    name: 'create changes mtime and ctime of the directory, not its atime',
    lowers: [{ d: directory({}, { mtime: OLD }) }],
    async run({ root, at }) {
      const before = await root.stat(at('d'));
      await root.put(at('d/new'), '');
      const after = await root.stat(at('d'));
      expect(after.mtime).toBeGreaterThan(before.mtime);
      expect(after.ctime).toBeGreaterThan(before.ctime);
      expect(after.atime).toBe(before.atime);
    },
  },
  {
    name: 'mkdir makes an empty directory that can be filled',
    lowers: [{}],
    async run({ root, at }) {
      await root.mkdir(at('n'), 0o750);
      expect((await root.stat(at('n'))).mode).toBe(0o040750);
      expect(await root.names(at('n'))).toEqual([]);
      await root.put(at('n/f'), 'x');
      expect(await root.names(at('n'))).toEqual(['f']);
    },
  },
  {
    name: 'mkdir of a name that is there is EEXIST, in any layer and of any type',
    lowers: [{ d: {}, f: '' }],
    upper: { u: {} },
    async run({ root, at }) {
      for (const name of ['d', 'f', 'u']) expect(await errnoOf(root.mkdir(at(name)))).toBe('EEXIST');
    },
  },
  {
    name: 'mkdir over a whiteout shows nothing of the directory that was removed, after a remount too',
    lowers: [{ d: { old: 'o', sub: { x: '' } } }],
    async run({ root, at }) {
      await root.unlink(at('d/old'));
      await root.unlink(at('d/sub/x'));
      await root.rmdir(at('d/sub'));
      await root.rmdir(at('d'));
      await root.mkdir(at('d'));
      expect(await root.names(at('d'))).toEqual([]);
      await root.put(at('d/new'), 'n');
    },
    async after({ root, at }) {
      expect(await root.names(at('d'))).toEqual(['new']);
      expect(await errnoOf(root.stat(at('d/old')))).toBe('ENOENT');
    },
  },
  {
    name: 'mkdir over a whiteout below two lower directories shows nothing of either',
    lowers: [{ d: { a: '' } }, { d: { b: '' } }],
    async run({ root, at }) {
      await root.unlink(at('d/a'));
      await root.unlink(at('d/b'));
      await root.rmdir(at('d'));
      await root.mkdir(at('d'));
    },
    async after({ root, at }) {
      expect(await root.names(at('d'))).toEqual([]);
    },
  },
  {
    name: 'create over a whiteout is the new file alone, after a remount too',
    lowers: [{ a: 'old' }],
    async run({ root, at }) {
      await root.unlink(at('a'));
      await root.put(at('a'), 'new');
      expect(await root.text(at('a'))).toBe('new');
    },
    async after({ root, at, lower }) {
      expect(await root.text(at('a'))).toBe('new');
      expect(await root.text(lower(0, 'a'))).toBe('old');
    },
  },
  {
    name: 'a file may take the place of a removed lower directory, and the other way round',
    lowers: [{ d: { x: '' }, f: 'file' }],
    async run({ root, at }) {
      await root.unlink(at('d/x'));
      await root.rmdir(at('d'));
      await root.put(at('d'), 'now a file');
      await root.unlink(at('f'));
      await root.mkdir(at('f'));
      await root.put(at('f/in'), 'x');
    },
    async after({ root, at }) {
      expect(await root.text(at('d'))).toBe('now a file');
      expect(await root.names(at('f'))).toEqual(['in']);
    },
  },
  {
    name: 'a fifo and a socket are made with their mode',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      await root.mknod(at('d/fifo'), 0o010640);
      await root.mknod(at('d/socket'), 0o140600);
      expect((await root.stat(at('d/fifo'))).mode).toBe(0o010640);
      expect((await root.stat(at('d/socket'))).mode).toBe(0o140600);
      expect(await errnoOf(root.mknod(at('d/fifo'), 0o010640))).toBe('EEXIST');
    },
  },
  {
    name: 'mknod makes a regular file too',
    lowers: [{}],
    async run({ root, at }) {
      await root.mknod(at('f'), 0o100604);
      expect(await root.stat(at('f'))).toMatchObject({ mode: 0o100604, size: 0, nlink: 1 });
    },
  },
  {
    name: 'devices are made with their numbers',
    needs: ['device nodes'],
    lowers: [{}],
    async run({ root, at }) {
      await root.mknod(at('null'), 0o020666, 0x103);
      await root.mknod(at('disk'), 0o060660, (259 << 8) | 0x7);
      expect(await root.stat(at('null'))).toMatchObject({ rdevMajor: 1, rdevMinor: 3, mode: 0o020644 });
      expect(await root.stat(at('disk'))).toMatchObject({ rdevMajor: 259, rdevMinor: 7 });
    },
  },
  {
    name: 'a user of the mount cannot make a whiteout by mknod',
    needs: ['device nodes'],
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      expect(await errnoOf(root.mknod(at('w'), 0o020666, 0))).toBe('EPERM');
      expect(await root.names(at())).toEqual(['a']);
    },
  },
  {
    name: 'a symlink keeps its target byte for byte, to 4,095 bytes',
    lowers: [{}],
    async run({ root, at }) {
      const targets = ['a', '/absolute/../x', 'sp ace\n\xff', 'x/'.repeat(2_047) + 'y'];
      for (const [index, target] of targets.entries()) {
        await root.symlink(target, at(`s${index}`));
        expect(await root.readlink(at(`s${index}`))).toBe(target);
        expect((await root.stat(at(`s${index}`))).size).toBe(target.length);
      }
      expect(await errnoOf(root.symlink('x'.repeat(4_096), at('long')))).toBe('ENAMETOOLONG');
      expect(await errnoOf(root.symlink('x', at('s0')))).toBe('EEXIST');
    },
  },
  {
    name: 'a hard link to an upper file is the same file',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      await root.put(at('a'), 'one');
      await root.link(at('a'), at('d/b'));
      const [a, b] = [await root.stat(at('a')), await root.stat(at('d/b'))];
      expect(b.ino).toBe(a.ino);
      expect(b.nlink).toBe(2);
      await root.put(at('d/b'), 'two');
      expect(await root.text(at('a'))).toBe('two');
      await root.unlink(at('a'));
      expect((await root.stat(at('d/b'))).nlink).toBe(1);
    },
  },
  {
    name: 'a hard link to a lower file is the same file, before and after a write',
    lowers: [{ a: 'one', d: {} }],
    async run({ root, at, lower }) {
      await root.link(at('a'), at('d/b'));
      expect((await root.stat(at('d/b'))).ino).toBe((await root.stat(at('a'))).ino);
      expect((await root.stat(at('a'))).nlink).toBe(2);
      await root.put(at('d/b'), 'two');
      expect(await root.text(at('a'))).toBe('two');
      expect(await root.text(lower(0, 'a'))).toBe('one');
    },
  },
  {
    name: 'a hard link over a whiteout, to a symlink and to a fifo',
    lowers: [{ gone: 'x' }],
    async run({ root, at }) {
      await root.unlink(at('gone'));
      await root.put(at('f'), 'f');
      await root.link(at('f'), at('gone'));
      expect(await root.text(at('gone'))).toBe('f');
      await root.symlink('f', at('s'));
      await root.link(at('s'), at('s2'));
      expect(await root.readlink(at('s2'))).toBe('f');
      await root.mknod(at('p'), 0o010644);
      await root.link(at('p'), at('p2'));
      expect((await root.stat(at('p2'))).nlink).toBe(2);
    },
  },
  {
    name: 'link refuses a directory, a name that is there, and a source that is not',
    lowers: [{ a: '', b: '', d: {} }],
    async run({ root, at }) {
      expect(await errnoOf(root.link(at('d'), at('e')))).toBe('EPERM');
      expect(await errnoOf(root.link(at('a'), at('b')))).toBe('EEXIST');
      expect(await errnoOf(root.link(at('none'), at('n')))).toBe('ENOENT');
    },
  },
  {
    name: 'nothing can be made in a directory that was removed',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      const fd = await root.open(at('d'), 0o200000);
      await root.rmdir(at('d'));
      expect(await errnoOf(root.put(`/proc/self/fd/${fd}/x`, '', O_CREAT_EXCL))).toBe('ENOENT');
      expect(await errnoOf(root.mkdir(`/proc/self/fd/${fd}/x`))).toBe('ENOENT');
      await root.close(fd);
    },
  },
  {
    name: 'a new directory below a new directory, ten deep, shows at once and after a remount',
    lowers: [{ d: {} }],
    async run({ root, at, remount }) {
      let path = 'd';
      for (let depth = 0; depth < 10; depth++) await root.mkdir(at((path += `/${depth}`)));
      await root.put(at(`${path}/f`), 'deep');
      expect(await root.text(at(`${path}/f`))).toBe('deep');
      await remount();
      expect(await root.text(at(`${path}/f`))).toBe('deep');
    },
  },
];

conformance('create', rows);
