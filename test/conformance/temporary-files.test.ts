import { expect } from 'vitest';
import { LIMITS } from '../../fs/libfuse/limits.ts';
import { errnoOf } from '../support/agent.ts';
import { directory } from '../support/tree.ts';
import { aclXattr } from './acl.ts';
import { ALICE, type Row, conformance } from './suite.ts';

const O_WRONLY = 1;
const O_RDWR = 2;
const O_DIRECTORY = process.arch === 'arm64' ? 0o40000 : 0o200000;
const O_TMPFILE = 0o20000000 | O_DIRECTORY;
const AT_SYMLINK_FOLLOW = 0x400;
const OLD = 1_000_000_000_123_456_789n;

const rows: readonly Row[] = [
  {
    name: 'O_TMPFILE in a lower, an upper and a merged directory leaves no name, there or in the upper',
    lowers: [{ low: {}, both: { l: '' } }],
    upper: { up: {}, both: { u: '' } },
    async run({ root, at, upper }) {
      for (const name of ['low', 'up', 'both']) {
        const before = await root.names(at(name));
        const fd = await root.open(at(name), O_TMPFILE | O_RDWR, 0o600);
        await root.write(fd, 'x');
        expect(await root.names(at(name))).toEqual(before);
        await root.close(fd);
      }
      expect(await root.names(upper('up'))).toEqual([]);
      expect(await root.names(upper('both'))).toEqual(['u']);
    },
  },
  {
    name: 'linkat gives a temporary file a name that a whiteout hides, in another directory, and a second one',
    lowers: [{ d: {}, e: { gone: 'old' } }],
    async run({ root, at }) {
      await root.unlink(at('e/gone'));
      const fd = await root.open(at('d'), O_TMPFILE | O_RDWR, 0o640);
      await root.write(fd, 'new');
      await root.link(`/proc/self/fd/${fd}`, at('e/gone'), AT_SYMLINK_FOLLOW);
      await root.link(`/proc/self/fd/${fd}`, at('d/second'), AT_SYMLINK_FOLLOW);
      expect(await root.fstat(fd)).toMatchObject({ nlink: 2, mode: 0o100640 });
      await root.pwrite(fd, 'N', 0);
      expect(await root.text(at('d/second'))).toBe('New');
      expect((await root.stat(at('e/gone'))).ino).toBe((await root.fstat(fd)).ino);
    },
    async after({ root, at }) {
      expect(await root.text(at('e/gone'))).toBe('New');
      expect((await root.stat(at('d/second'))).nlink).toBe(2);
    },
  },
  {
    name: 'linkat of a temporary file to a name that is there is EEXIST, lower or upper',
    lowers: [{ d: { low: 'l' } }],
    upper: { d: { up: 'u' } },
    async run({ root, at }) {
      const fd = await root.open(at('d'), O_TMPFILE | O_RDWR, 0o600);
      for (const name of ['low', 'up'])
        expect(await errnoOf(root.link(`/proc/self/fd/${fd}`, at(`d/${name}`), AT_SYMLINK_FOLLOW))).toBe('EEXIST');
      expect(await root.text(at('d/low'))).toBe('l');
    },
  },
  {
    name: 'a temporary file takes owner, mode, times, xattrs and size while it has no name, and keeps them',
    needs: ['many ids'],
    lowers: [{ d: {} }],
    async run({ root, at }) {
      const fd = await root.open(at('d'), O_TMPFILE | O_RDWR, 0o600);
      await root.write(fd, '0123456789');
      await root.ftruncate(fd, 4);
      await root.fchown(fd, 12, 34);
      await root.fchmod(fd, 0o4751);
      await root.fsetxattr(fd, 'user.x', 'y');
      await root.futimens(fd, OLD, OLD);
      await root.fsync(fd);
      await root.link(`/proc/self/fd/${fd}`, at('d/f'), AT_SYMLINK_FOLLOW);
      await root.close(fd);
    },
    async after({ root, at }) {
      expect(await root.stat(at('d/f'))).toMatchObject({ uid: 12, gid: 34, mode: 0o104751, mtime: OLD, size: 4 });
      expect(await root.getxattr(at('d/f'), 'user.x')).toBe('y');
    },
  },
  {
    name: 'a temporary file of a user is the user’s, with umask and the group of a setgid directory',
    needs: ['many ids'],
    lowers: [{ d: directory({}, { gid: 77, mode: 0o2777 }) }],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      const fd = await alice.open(at('d'), O_TMPFILE | O_RDWR, 0o666);
      expect(await alice.fstat(fd)).toMatchObject({ uid: 1000, gid: 77, mode: 0o100644 });
      await alice.link(`/proc/self/fd/${fd}`, at('d/f'), AT_SYMLINK_FOLLOW);
      expect(await root.stat(at('d/f'))).toMatchObject({ uid: 1000, gid: 77, mode: 0o100644 });
    },
  },
  {
    name: 'a temporary file inherits the default ACL of its directory',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      const acl = aclXattr({ user: 7, users: { 77: 6 }, group: 5, mask: 7, other: 0 });
      await root.setxattr(at('d'), 'system.posix_acl_default', acl);
      const fd = await root.open(at('d'), O_TMPFILE | O_RDWR, 0o666);
      expect((await root.fstat(fd)).mode).toBe(0o100660);
      expect((await root.fgetxattr(fd, 'system.posix_acl_access')).length).toBe(acl.length);
    },
  },
  {
    name: 'O_TMPFILE refuses a read-only open, a file, and a directory that is not writable',
    lowers: [{ d: directory({}, { mode: 0o755 }), f: 'x' }],
    needs: ['many ids'],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      expect(await errnoOf(root.open(at('d'), O_TMPFILE))).toBe('EINVAL');
      expect(await errnoOf(root.open(at('f'), O_TMPFILE | O_RDWR))).toBe('ENOTDIR');
      expect(await errnoOf(root.open(at('none'), O_TMPFILE | O_RDWR))).toBe('ENOENT');
      expect(await errnoOf(alice.open(at('d'), O_TMPFILE | O_WRONLY))).toBe('EACCES');
    },
  },
];

conformance(
  'temporary files',
  rows.map((row): Row => ({ ...row, differs: { 'fuse-native': LIMITS.temporary } })),
);
