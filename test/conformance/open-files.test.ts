import { expect } from 'vitest';
import { LIMITS } from '../../fs/libfuse/limits.ts';
import { errnoOf } from '../support/agent.ts';
import { directory, hardlink } from '../support/tree.ts';
import { DATA_MOUNTERS } from '../support/mounters.ts';
import { type Row, conformance } from './suite.ts';

const O_RDONLY = 0;
const O_RDWR = 2;
const O_DIRECTORY = 0o200000;
const OLD = 1_000_000_000_123_456_789n;

const rows: readonly Row[] = [
  {
    name: 'an unlinked upper file that is open is read, written, truncated, changed and stat-ed',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), 'content');
      const fd = await root.open(at('a'), O_RDWR);
      await root.unlink(at('a'));
      expect(await root.names(at())).toEqual([]);
      expect((await root.fstat(fd)).nlink).toBe(0);
      expect((await root.pread(fd, 100, 0)).toString()).toBe('content');
      await root.pwrite(fd, 'C', 0);
      await root.ftruncate(fd, 4);
      await root.fchmod(fd, 0o600);
      await root.fsync(fd);
      expect(await root.fstat(fd)).toMatchObject({ nlink: 0, size: 4, mode: 0o100600 });
      expect((await root.pread(fd, 100, 0)).toString()).toBe('Cont');
      await root.close(fd);
    },
  },
  {
    name: 'an unlinked lower file that is open for reading is read',
    lowers: [{ a: 'content' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDONLY);
      await root.unlink(at('a'));
      expect((await root.read(fd, 100)).toString()).toBe('content');
      expect((await root.fstat(fd)).size).toBe(7);
      expect(await errnoOf(root.stat(at('a')))).toBe('ENOENT');
    },
  },
  {
    name: 'an unlinked lower file has no links left',
    differs: { kernel: 'overlayfs tells the link count in the lower' },
    lowers: [{ a: 'content' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDONLY);
      await root.unlink(at('a'));
      expect((await root.fstat(fd)).nlink).toBe(0);
    },
  },
  {
    name: 'an unlinked lower file that is open takes fchmod, fchown and times',
    differs: { kernel: 'overlayfs cannot copy up a file that has no name: ENOENT' },
    lowers: [{ a: 'content' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDONLY);
      await root.unlink(at('a'));
      await root.fchmod(fd, 0o600);
      await root.futimens(fd, 7n, 9n);
      expect(await root.fstat(fd)).toMatchObject({ mode: 0o100600, mtime: 9n });
      expect((await root.pread(fd, 100, 0)).toString()).toBe('content');
      expect(await root.names(at())).toEqual([]);
    },
  },
  {
    name: 'an unlinked lower file that was open for writing is written and read',
    lowers: [{ a: 'content' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      await root.unlink(at('a'));
      await root.pwrite(fd, 'XY', 0);
      expect((await root.pread(fd, 100, 0)).toString()).toBe('XYntent');
      expect((await root.fstat(fd)).nlink).toBe(0);
    },
  },
  {
    name: 'the name of an unlinked open file is free for another',
    lowers: [{ a: 'old' }],
    async run({ root, at }) {
      const old = await root.open(at('a'), O_RDWR);
      await root.unlink(at('a'));
      await root.put(at('a'), 'new file');
      expect((await root.pread(old, 100, 0)).toString()).toBe('old');
      await root.pwrite(old, 'x', 0);
      expect(await root.text(at('a'))).toBe('new file');
      expect((await root.fstat(old)).ino).not.toBe((await root.stat(at('a'))).ino);
    },
  },
  {
    name: 'an unlinked open file is opened again through /proc',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), 'content');
      const fd = await root.open(at('a'), O_RDWR);
      await root.unlink(at('a'));
      const again = await root.open(`/proc/self/fd/${fd}`, O_RDONLY);
      expect((await root.read(again, 100)).toString()).toBe('content');
    },
  },
  {
    name: 'a file with two names, one unlinked while it is open, keeps the other',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      await root.link(at('a'), at('b'));
      const fd = await root.open(at('a'), O_RDWR);
      await root.unlink(at('a'));
      expect((await root.fstat(fd)).nlink).toBe(1);
      await root.pwrite(fd, 'y', 0);
      expect(await root.text(at('b'))).toBe('y');
    },
  },
  {
    name: 'an upper file of two names, only one of which was ever asked for, is one file when that one goes',
    lowers: [{}],
    upper: { a: 'x', b: hardlink('a') },
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      await root.unlink(at('a'));
      expect((await root.fstat(fd)).nlink).toBe(1);
      await root.pwrite(fd, 'y', 0);
      expect(await root.text(at('b'))).toBe('y');
      await root.put(at('b'), 'longer');
      expect((await root.pread(fd, 100, 0)).toString()).toBe('longer');
      expect((await root.stat(at('b'))).ino).toBe((await root.fstat(fd)).ino);
      await root.fchmod(fd, 0o600);
      expect((await root.stat(at('b'))).mode).toBe(0o100600);
    },
  },
  {
    name: 'a lower file of two names, only one of which was ever asked for, is one file when that one goes',
    lowers: [{ a: 'x', b: hardlink('a') }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      await root.unlink(at('a'));
      expect((await root.fstat(fd)).nlink).toBe(1);
      await root.pwrite(fd, 'y', 0);
      expect(await root.text(at('b'))).toBe('y');
      expect((await root.stat(at('b'))).ino).toBe((await root.fstat(fd)).ino);
    },
  },
  {
    name: 'xattrs of an unlinked open file are set and read through /proc',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), 'x');
      const fd = await root.open(at('a'), O_RDWR);
      await root.unlink(at('a'));
      const reply = await root.agent.check('int fsetxattr(int fd, const void *n, const void *v, size_t s, int f)', [
        fd,
        Buffer.from('user.x\0'),
        Buffer.from('y'),
        1,
        0,
      ]);
      expect(Number(reply.value)).toBe(0);
    },
  },
  {
    name: 'an open file outlives its directory, read, written, cut and synced',
    lowers: [{ d: { lower: 'text' } }],
    async run({ root, at }) {
      await root.put(at('d/new'), 'text');
      for (const name of ['lower', 'new']) {
        const fd = await root.open(at(`d/${name}`), O_RDWR);
        await root.unlink(at(`d/${name}`));
        if (name === 'new') await root.rmdir(at('d'));
        await root.pwrite(fd, '!', 4);
        await root.fsync(fd);
        expect((await root.pread(fd, 100, 0)).toString()).toBe('text!');
        await root.ftruncate(fd, 2);
        expect((await root.pread(fd, 100, 0)).toString()).toBe('te');
        await root.close(fd);
      }
      expect(await root.names(at())).toEqual([]);
    },
  },
  {
    name: 'an open file outlives its directory, stat-ed and changed',
    lowers: [{ d: { a: 'text' } }],
    async run({ root, at }) {
      const fd = await root.open(at('d/a'), O_RDWR);
      await root.unlink(at('d/a'));
      await root.rmdir(at('d'));
      expect(await root.fstat(fd)).toMatchObject({ size: 4, nlink: 0 });
      await root.fchmod(fd, 0o600);
      expect((await root.fstat(fd)).mode).toBe(0o100600);
    },
  },
  {
    name: 'an open file keeps a name such as libfuse makes up for removed ones',
    lowers: [{}],
    async run({ root, at }) {
      const name = '.fuse_hidden0000000300ff0001';
      await root.put(at('a'), 'text');
      const fd = await root.open(at('a'), O_RDWR);
      await root.rename(at('a'), at(name));
      await root.close(fd);
      expect(await root.text(at(name))).toBe('text');
      expect(await root.names(at())).toEqual([name]);
    },
  },
  {
    name: 'a removed directory that is open is stat-ed and changed',
    lowers: [{}],
    async run({ root, at }) {
      await root.mkdir(at('d'));
      const fd = await root.open(at('d'), O_DIRECTORY);
      await root.rmdir(at('d'));
      expect((await root.fstat(fd)).nlink).toBe(0);
      await root.fchmod(fd, 0o700);
      expect((await root.fstat(fd)).mode).toBe(0o040700);
    },
  },
  {
    name: 'a removed lower directory that is open is stat-ed and changed',
    differs: { kernel: 'overlayfs cannot copy up what has no name' },
    lowers: [{ d: directory({}, { mode: 0o750 }) }],
    async run({ root, at }) {
      const fd = await root.open(at('d'), O_DIRECTORY);
      const { ino } = await root.fstat(fd);
      await root.rmdir(at('d'));
      await root.fchmod(fd, 0o711);
      await root.fchown(fd, 3, 4);
      expect(await root.fstat(fd)).toMatchObject({ nlink: 0, mode: 0o040711, uid: 3, gid: 4, ino });
      await root.close(fd);
    },
  },
  {
    name: 'a directory removed and made anew is another one to those who have the old open',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      const fd = await root.open(at('d'), O_DIRECTORY);
      const { ino } = await root.fstat(fd);
      await root.rmdir(at('d'));
      await root.mkdir(at('d'));
      await root.put(at('d/new'), '');
      expect(await errnoOf(root.stat(`/proc/self/fd/${fd}/new`))).toBe('ENOENT');
      expect((await root.stat(at('d'))).ino).not.toBe(ino);
    },
  },
  {
    name: 'a change of a removed lower directory that is open leaves the one alone that has its name now',
    differs: {
      kernel: 'overlayfs copies it up to its former name, over the other',
      'fuse-native': LIMITS.removedDirectories,
    },
    lowers: [{ d: {} }],
    async run({ root, at }) {
      const fd = await root.open(at('d'), O_DIRECTORY);
      await root.rmdir(at('d'));
      await root.mkdir(at('d'), 0o700);
      await root.fchmod(fd, 0o777);
      await root.close(fd);
      expect((await root.stat(at('d'))).mode).toBe(0o040700);
    },
    async after({ root, at }) {
      expect((await root.stat(at('d'))).mode).toBe(0o040700);
    },
  },
  {
    name: 'many files open at once, unlinked, written and closed in another order',
    lowers: [Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`f${index}`, `content ${index}`]))],
    async run({ root, at }) {
      const open: number[] = [];
      for (let index = 0; index < 40; index++) open.push(await root.open(at(`f${index}`), O_RDWR));
      for (let index = 0; index < 40; index += 2) await root.unlink(at(`f${index}`));
      for (const [index, fd] of open.entries()) await root.pwrite(fd, `${index}`.padStart(2, '0'), 0);
      for (const fd of open.slice(20)) await root.close(fd);
      for (const [index, fd] of open.slice(0, 20).entries()) {
        expect((await root.pread(fd, 2, 0)).toString()).toBe(`${index}`.padStart(2, '0'));
      }
      expect(await root.names(at())).toHaveLength(20);
    },
  },
];

const unlinked: readonly Row[] = [
  {
    name: 'an unlinked file, upper or lower, takes all that an open file takes',
    differs: {
      kernel: 'overlayfs cannot copy up a file that has no name: ENOENT',
    },
    needs: ['many ids'],
    lowers: [{ low: 'content', meta: 'content' }],
    upper: { up: 'content' },
    async run({ root, at }) {
      await root.chmod(at('meta'), 0o640);
      for (const name of ['low', 'meta', 'up']) {
        const fd = await root.open(at(name), O_RDWR);
        await root.unlink(at(name));
        await root.fchmod(fd, 0o611);
        await root.fchown(fd, 12, 34);
        await root.fsetxattr(fd, 'user.x', 'y');
        await root.ftruncate(fd, 3);
        await root.futimens(fd, OLD, OLD);
        expect(await root.fstat(fd)).toMatchObject({ mode: 0o100611, uid: 12, gid: 34, size: 3, mtime: OLD, nlink: 0 });
        expect(await root.fgetxattr(fd, 'user.x')).toBe('y');
        expect((await root.pread(fd, 100, 0)).toString()).toBe('con');
        await root.fsync(fd);
        await root.close(fd);
      }
      expect(await root.names(at())).toEqual([]);
    },
  },
  {
    name: 'an unlinked lower file that is open for reading only takes xattrs, owner and mode',
    differs: {
      kernel: 'overlayfs cannot copy up a file that has no name: ENOENT',
    },
    lowers: [{ a: 'content' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDONLY);
      await root.unlink(at('a'));
      await root.fsetxattr(fd, 'user.x', 'y');
      await root.fchmod(fd, 0o600);
      expect(await root.fgetxattr(fd, 'user.x')).toBe('y');
      expect((await root.pread(fd, 100, 0)).toString()).toBe('content');
    },
  },
  {
    name: 'a removed upper directory that is open takes mode, owner, times and xattrs, and nothing can be made in it',
    differs: { 'fuse-native': LIMITS.removedDirectories },
    needs: ['many ids'],
    lowers: [{}],
    async run({ root, at }) {
      await root.mkdir(at('d'));
      const fd = await root.open(at('d'), O_DIRECTORY);
      await root.rmdir(at('d'));
      await root.fchmod(fd, 0o711);
      await root.fchown(fd, 12, 34);
      await root.fsetxattr(fd, 'user.x', 'y');
      await root.futimens(fd, OLD, OLD);
      expect(await root.fstat(fd)).toMatchObject({ mode: 0o040711, uid: 12, gid: 34, mtime: OLD, nlink: 0 });
      expect(await root.fgetxattr(fd, 'user.x')).toBe('y');
      const below = `/proc/self/fd/${fd}/x`;
      for (const call of [root.put(below, '', 0o101), root.mkdir(below), root.symlink('t', below), root.stat(below)])
        expect(await errnoOf(call)).toBe('ENOENT');
      await root.fsync(fd);
    },
  },
  {
    name: 'a directory that was emptied and removed while it is open lists nothing, one renamed lists on',
    differs: { 'fuse-native': LIMITS.removedDirectories },
    lowers: [{ gone: { a: '', b: '' }, moved: { c: '' } }],
    async run({ root, at }) {
      const gone = await root.open(at('gone'), O_DIRECTORY);
      const moved = await root.open(at('moved'), O_DIRECTORY);
      for (const name of ['gone/a', 'gone/b']) await root.unlink(at(name));
      await root.rmdir(at('gone'));
      await root.rename(at('moved'), at('gone'));
      expect(await errnoOf(root.getdents(gone))).toBe('ENOENT');
      await root.put(`/proc/self/fd/${moved}/d`, 'new');
      const names = (await root.listOpen(moved)).map(({ name }) => name).sort();
      expect(names).toEqual(['.', '..', 'c', 'd']);
      expect(await root.text(at('gone/d'))).toBe('new');
    },
  },
  {
    name: 'a directory that is open is reached by openat beneath it after its parent was renamed',
    lowers: [{ p: { d: { f: 'x' } } }],
    async run({ root, at }) {
      const fd = await root.open(at('p/d'), O_DIRECTORY);
      await root.rename(at('p'), at('q'));
      expect(await root.text(`/proc/self/fd/${fd}/f`)).toBe('x');
      await root.put(`/proc/self/fd/${fd}/f`, 'y');
      expect(await root.text(at('q/d/f'))).toBe('y');
    },
  },
];

conformance('open files', [...rows, ...unlinked], { mounters: DATA_MOUNTERS });
