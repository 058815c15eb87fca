import { expect } from 'vitest';
import { LIMITS } from '../../fs/libfuse/limits.ts';
import { errnoOf } from '../support/agent.ts';
import { type Status } from '../support/structures.ts';
import { directory, file, snapshot, symlink } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const OLD = 1_000_000_000_123_456_789n;
const BEFORE_1970 = -1_000_000_000_500_000_001n;
const AFTER_2038 = 4_294_967_296_000_000_007n;
const NEVER = -1;

function contentOf({ mode, uid, gid, size, mtime }: Status): unknown {
  return { mode, uid, gid, size, mtime };
}

const rows: readonly Row[] = [
  {
    name: 'chmod of a lower file changes the mode and ctime alone',
    lowers: [{ a: file('content', { mode: 0o644, mtime: OLD }) }],
    async run({ root, at, lower, remount }) {
      const before = await root.stat(at('a'));
      await root.chmod(at('a'), 0o4751);
      const after = await root.stat(at('a'));
      expect(contentOf(after)).toEqual({ ...(contentOf(before) as object), mode: 0o104751 });
      expect(after.ctime).toBeGreaterThan(before.ctime);
      expect(after.atime).toBe(before.atime);
      expect(after.ino).toBe(before.ino);
      await remount();
      expect(contentOf(await root.stat(at('a')))).toEqual(contentOf(after));
      expect(await root.text(at('a'))).toBe('content');
      expect((await root.stat(lower(0, 'a'))).mode).toBe(0o100644);
    },
  },
  {
    name: 'chown of a lower file changes owner, group or both',
    needs: ['many ids'],
    lowers: [{ a: 'a', b: 'b', c: 'c' }],
    async run({ root, at }) {
      await root.chown(at('a'), 12, 34);
      await root.chown(at('b'), 12, NEVER);
      await root.chown(at('c'), NEVER, 34);
    },
    async after({ root, at }) {
      expect(await root.stat(at('a'))).toMatchObject({ uid: 12, gid: 34 });
      expect(await root.stat(at('b'))).toMatchObject({ uid: 12, gid: 0 });
      expect(await root.stat(at('c'))).toMatchObject({ uid: 0, gid: 34 });
      expect(await root.text(at('c'))).toBe('c');
    },
  },
  {
    name: 'chown and utimens of a symlink change the symlink',
    needs: ['many ids'],
    lowers: [{ s: symlink('f'), f: 'x' }],
    async run({ root, at }) {
      await root.chown(at('s'), 9, 9);
      await root.utimens(at('s'), OLD, OLD);
      expect(await root.stat(at('s'))).toMatchObject({ uid: 9, gid: 9, mtime: OLD });
      expect(await root.readlink(at('s'))).toBe('f');
      expect(await root.stat(at('f'))).toMatchObject({ uid: 0, gid: 0 });
    },
  },
  {
    name: 'chmod and chown of a lower directory leave what is in it',
    needs: ['many ids'],
    lowers: [{ d: directory({ a: 'a', b: {} }, { mtime: OLD }) }],
    async run({ root, at }) {
      await root.chmod(at('d'), 0o2711);
      await root.chown(at('d'), 3, 4);
    },
    async after({ root, at }) {
      expect(await root.stat(at('d'))).toMatchObject({ mode: 0o042711, uid: 3, gid: 4, mtime: OLD });
      expect(await root.names(at('d'))).toEqual(['a', 'b']);
    },
  },
  {
    name: 'utimens sets both times to the nanosecond, on lower, upper and directory',
    lowers: [{ a: 'a', d: {} }],
    async run({ root, at }) {
      await root.put(at('u'), 'u');
      for (const name of ['a', 'u', 'd']) {
        await root.utimens(at(name), OLD, OLD + 1n);
        expect(await root.stat(at(name))).toMatchObject({ atime: OLD, mtime: OLD + 1n });
      }
    },
    async after({ root, at }) {
      for (const name of ['a', 'u', 'd']) expect((await root.stat(at(name))).mtime).toBe(OLD + 1n);
    },
  },
  {
    name: 'utimens sets times before 1970 and after 2038',
    lowers: [{ a: 'a', b: 'b' }],
    async run({ root, at }) {
      await root.utimens(at('a'), BEFORE_1970, BEFORE_1970);
      await root.utimens(at('b'), AFTER_2038, AFTER_2038);
      expect(await root.stat(at('a'))).toMatchObject({ atime: BEFORE_1970, mtime: BEFORE_1970 });
    },
    async after({ root, at }) {
      expect((await root.stat(at('a'))).mtime).toBe(BEFORE_1970);
      expect((await root.stat(at('b'))).mtime).toBe(AFTER_2038);
    },
  },
  {
    name: 'UTIME_OMIT leaves a time, UTIME_NOW sets it to now',
    lowers: [{ a: file('a', { mtime: OLD }) }],
    async run({ root, at }) {
      await root.utimens(at('a'), OLD + 5n, 'omit');
      expect(await root.stat(at('a'))).toMatchObject({ atime: OLD + 5n, mtime: OLD });
      await root.utimens(at('a'), 'omit', 'now');
      const status = await root.stat(at('a'));
      expect(status.atime).toBe(OLD + 5n);
      expect(status.mtime).toBeGreaterThan(OLD);
      await root.utimens(at('a'), 'omit', 'omit');
      expect((await root.stat(at('a'))).mtime).toBe(status.mtime);
    },
  },
  {
    name: 'write changes mtime and ctime and size, read does not change mtime',
    lowers: [{ a: file('abc', { mtime: OLD }) }],
    async run({ root, at }) {
      await root.text(at('a'));
      const before = await root.stat(at('a'));
      expect(before.mtime).toBe(OLD);
      const fd = await root.open(at('a'), 0o2001);
      await root.write(fd, 'def');
      const after = await root.fstat(fd);
      await root.close(fd);
      expect(after.size).toBe(6);
      expect(after.mtime).toBeGreaterThan(before.mtime);
      expect(after.ctime).toBeGreaterThan(before.ctime);
      expect(await root.stat(at('a'))).toMatchObject({ size: 6, mtime: after.mtime });
    },
  },
  {
    name: 'times set on an open descriptor after a write hold once it is closed',
    lowers: [{ a: 'abc' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), 1);
      await root.write(fd, 'x');
      await root.futimens(fd, OLD, OLD);
      await root.close(fd);
      expect((await root.stat(at('a'))).mtime).toBe(OLD);
    },
  },
  {
    name: 'truncate changes mtime and ctime, to the same size too',
    lowers: [{ a: file('abc', { mtime: OLD }), b: file('abc', { mtime: OLD }) }],
    async run({ root, at }) {
      await root.truncate(at('a'), 1);
      expect((await root.stat(at('a'))).mtime).toBeGreaterThan(OLD);
      const fd = await root.open(at('b'), 1);
      await root.ftruncate(fd, 3);
      await root.close(fd);
      expect((await root.stat(at('b'))).mtime).toBeGreaterThan(OLD);
    },
  },
  {
    name: 'opening a lower file for writing and closing it keeps its mtime',
    lowers: [{ a: file('abc', { mtime: OLD }) }],
    async run({ root, at }) {
      await root.close(await root.open(at('a'), 2));
      expect((await root.stat(at('a'))).mtime).toBe(OLD);
    },
  },
  {
    name: 'fchmod and fchown through a descriptor opened for reading on a lower file',
    needs: ['many ids'],
    lowers: [{ a: 'abc' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), 0);
      await root.fchmod(fd, 0o600);
      await root.fchown(fd, 5, 6);
      expect(await root.fstat(fd)).toMatchObject({ mode: 0o100600, uid: 5, gid: 6 });
      expect(await root.stat(at('a'))).toMatchObject({ mode: 0o100600, uid: 5, gid: 6 });
      expect((await root.read(fd, 3)).toString()).toBe('abc');
      await root.close(fd);
    },
  },
  {
    name: 'link and unlink change ctime of the file',
    lowers: [{ a: 'a' }],
    async run({ root, at }) {
      const first = await root.stat(at('a'));
      await root.link(at('a'), at('b'));
      const second = await root.stat(at('a'));
      expect(second.ctime).toBeGreaterThan(first.ctime);
      await root.unlink(at('b'));
      expect((await root.stat(at('a'))).ctime).toBeGreaterThan(second.ctime);
    },
  },
  {
    name: 'a metadata change leaves the lower layer byte for byte',
    lowers: [{ d: { a: file('a', { xattrs: { 'user.x': 'y' } }), s: symlink('a') } }],
    async run({ root, at, lower }) {
      const before = await snapshot(root, lower(0));
      for (const name of ['d/a', 'd']) {
        await root.chmod(at(name), 0o700);
        await root.utimens(at(name), OLD, OLD);
        await root.setxattr(at(name), 'user.z', 'z');
      }
      await root.utimens(at('d/s'), OLD, OLD);
      expect(await snapshot(root, lower(0))).toEqual(before);
    },
  },
  {
    name: 'blocks and size of a file are those of its data',
    lowers: [{ a: Buffer.alloc(65_536, 'x').toString('latin1') }],
    async run({ root, at }) {
      expect(await root.stat(at('a'))).toMatchObject({ size: 65_536, blocks: 128 });
      await root.chmod(at('a'), 0o600);
      expect((await root.stat(at('a'))).size).toBe(65_536);
      expect((await root.stat(at('a'))).blocks).toBeGreaterThanOrEqual(128);
    },
  },
  {
    name: 'statx tells the birth time of upper and lower files, that a change leaves',
    differs: { 'fuse-native': LIMITS.birthTime },
    lowers: [{ low: 'x', d: {} }],
    upper: { up: 'y' },
    async run({ root, at, lower, upper }) {
      expect((await root.stat(at('low'))).btime).toBe((await root.stat(lower(0, 'low'))).btime);
      const before = await root.stat(at('up'));
      expect(before.btime).toBe((await root.stat(upper('up'))).btime);
      expect(before.btime).toBeLessThanOrEqual(before.ctime);
      await root.put(at('up'), 'changed');
      await root.utimens(at('up'), OLD, OLD);
      expect((await root.stat(at('up'))).btime).toBe(before.btime);
      await root.mkdir(at('new'));
      expect((await root.stat(at('new'))).btime).toBeGreaterThanOrEqual(before.btime ?? 0n);
    },
  },
  {
    name: 'reading files and symlinks and listing directories leaves all atimes of a lower layer',
    lowers: [{ d: directory({ a: file('x', { mtime: OLD }), s: symlink('a'), e: {} }, { mtime: OLD }) }],
    async run({ root, at, lower }) {
      const names = ['d', 'd/a', 'd/s', 'd/e'];
      const before = await Promise.all(names.map((name) => root.stat(lower(0, name))));
      await root.text(at('d/a'));
      await root.readlink(at('d/s'));
      await root.names(at('d'));
      await root.names(at('d/e'));
      const after = await Promise.all(names.map((name) => root.stat(lower(0, name))));
      const times = (all: readonly Status[]) => all.map(({ atime }) => atime);
      // A symlink is read without a descriptor that could ask for O_NOATIME, in overlayfs as well.
      expect(times(after).filter((_, index) => names[index] !== 'd/s')).toEqual(
        times(before).filter((_, index) => names[index] !== 'd/s'),
      );
    },
  },
  {
    name: 'attributes of what is not there are ENOENT',
    lowers: [{}],
    async run({ root, at }) {
      expect(await errnoOf(root.chmod(at('none'), 0o600))).toBe('ENOENT');
      expect(await errnoOf(root.chown(at('none'), 0, 0))).toBe('ENOENT');
      expect(await errnoOf(root.utimens(at('none'), OLD, OLD))).toBe('ENOENT');
      expect(await errnoOf(root.truncate(at('none'), 0))).toBe('ENOENT');
    },
  },
];

conformance('attributes', rows);
