import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { directory, file } from '../support/tree.ts';
import { aclXattr } from './acl.ts';
import { ALICE, BOB, type Row, conformance } from './suite.ts';

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const OPEN_TO_ALL = { mode: 0o777 };
const STICKY = { mode: 0o1777 };
const SHARED_GROUP = 500;
// cap_net_raw+ep, VFS_CAP_REVISION_2.
const CAPABILITIES = Buffer.from('0100000200200000000000000000000000000000', 'hex');

const rows: readonly Row[] = [
  {
    name: 'everything a user makes belongs to that user, in lower and upper directories',
    lowers: [{ d: directory({}, OPEN_TO_ALL) }],
    async run({ root, at, as, upper }) {
      const alice = await as(ALICE);
      await alice.mkdir(at('d/sub'));
      for (const base of ['d', 'd/sub']) {
        await alice.put(at(`${base}/f`), 'x');
        await alice.mkdir(at(`${base}/dir`));
        await alice.symlink('x', at(`${base}/s`));
        await alice.mknod(at(`${base}/p`), 0o010644);
        for (const name of ['f', 'dir', 's', 'p']) {
          expect(await root.stat(at(`${base}/${name}`))).toMatchObject({ uid: 1000, gid: 1000 });
          expect(await root.stat(upper(`${base}/${name}`))).toMatchObject({ uid: 1000, gid: 1000 });
        }
      }
    },
  },
  {
    name: 'files of another that are not for all are EACCES to read and to write',
    lowers: [{ secret: file('x', { mode: 0o600 }), readable: file('y', { mode: 0o644 }) }],
    async run({ at, as }) {
      const alice = await as(ALICE);
      expect(await errnoOf(alice.open(at('secret'), O_RDONLY))).toBe('EACCES');
      expect(await alice.text(at('readable'))).toBe('y');
      expect(await errnoOf(alice.open(at('readable'), O_WRONLY))).toBe('EACCES');
      expect(await errnoOf(alice.access(at('secret'), 4))).toBe('EACCES');
    },
  },
  {
    name: 'a directory of another that is not for all is EACCES to search, list and change',
    lowers: [{ closed: directory({ a: 'x' }, { mode: 0o700 }), open: directory({ a: 'x' }, { mode: 0o755 }) }],
    async run({ at, as }) {
      const alice = await as(ALICE);
      expect(await errnoOf(alice.stat(at('closed/a')))).toBe('EACCES');
      expect(await errnoOf(alice.open(at('closed'), O_RDONLY))).toBe('EACCES');
      for (const call of [
        alice.put(at('open/n'), ''),
        alice.unlink(at('open/a')),
        alice.mkdir(at('open/d')),
        alice.rename(at('open/a'), at('open/b')),
        alice.symlink('x', at('open/s')),
        alice.link(at('open/a'), at('open/l')),
      ]) {
        expect(['EACCES', 'EPERM']).toContain(await errnoOf(call));
      }
    },
  },
  {
    name: 'chmod, chown and utimens of what is another’s are EPERM',
    lowers: [{ a: file('x', { mode: 0o666 }) }],
    async run({ at, as }) {
      const alice = await as(ALICE);
      expect(await errnoOf(alice.chmod(at('a'), 0o777))).toBe('EPERM');
      expect(await errnoOf(alice.chown(at('a'), 1000, 1000))).toBe('EPERM');
      expect(await errnoOf(alice.utimens(at('a'), 5n, 5n))).toBe('EPERM');
      expect(await errnoOf(alice.utimens(at('a'), 'now', 'now'))).toBe('none');
    },
  },
  {
    name: 'a user may chmod what is theirs, chown it to none, and give it to a group they are in',
    lowers: [{ d: directory({}, OPEN_TO_ALL), mine: file('x', { uid: 1000, gid: 1000 }) }],
    async run({ at, as }) {
      const alice = await as({ ...ALICE, groups: [SHARED_GROUP] });
      await alice.chmod(at('mine'), 0o600);
      expect(await errnoOf(alice.chown(at('mine'), 1001, -1))).toBe('EPERM');
      expect(await errnoOf(alice.chown(at('mine'), -1, 501))).toBe('EPERM');
      await alice.chown(at('mine'), -1, SHARED_GROUP);
      expect(await alice.stat(at('mine'))).toMatchObject({ mode: 0o100600, uid: 1000, gid: SHARED_GROUP });
    },
  },
  {
    name: 'permissions by a supplementary group hold',
    lowers: [
      { g: directory({ f: file('x', { mode: 0o640, gid: SHARED_GROUP }) }, { mode: 0o2770, gid: SHARED_GROUP }) },
    ],
    async run({ at, as }) {
      const member = await as({ ...ALICE, groups: [SHARED_GROUP] });
      const stranger = await as(BOB);
      expect(await member.text(at('g/f'))).toBe('x');
      await member.put(at('g/n'), 'y');
      expect(await errnoOf(stranger.stat(at('g/f')))).toBe('EACCES');
    },
  },
  {
    name: 'a setgid directory gives its group to files and its bit to directories',
    lowers: [{ g: directory({}, { mode: 0o2777, gid: SHARED_GROUP }) }],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      await alice.put(at('g/f'), '');
      await alice.mkdir(at('g/d'));
      await alice.put(at('g/d/f'), '');
      expect(await root.stat(at('g/f'))).toMatchObject({ uid: 1000, gid: SHARED_GROUP, mode: 0o100644 });
      expect(await root.stat(at('g/d'))).toMatchObject({ uid: 1000, gid: SHARED_GROUP, mode: 0o042755 });
      expect((await root.stat(at('g/d/f'))).gid).toBe(SHARED_GROUP);
    },
  },
  {
    name: 'a setgid directory that is new in the upper does so too',
    lowers: [{}],
    async run({ root, at, as }) {
      await root.mkdir(at('g'));
      await root.chown(at('g'), 0, SHARED_GROUP);
      await root.chmod(at('g'), 0o2777);
      const alice = await as(ALICE);
      await alice.mkdir(at('g/d'));
      expect(await root.stat(at('g/d'))).toMatchObject({ gid: SHARED_GROUP, mode: 0o042755 });
    },
  },
  {
    name: 'a file made with the setgid bit by one who is not of the group loses it',
    lowers: [{ g: directory({}, { mode: 0o2777, gid: SHARED_GROUP }) }],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      await alice.put(at('g/f'), '', 0o301, 0o2775);
      expect((await root.stat(at('g/f'))).mode & 0o2000).toBe(0);
    },
  },
  {
    name: 'in a sticky directory one removes and renames only what is one’s own',
    lowers: [
      {
        tmp: directory(
          { alice: file('a', { uid: 1000 }), bob: file('b', { uid: 1001 }), adir: directory({}, { uid: 1000 }) },
          STICKY,
        ),
      },
    ],
    async run({ at, as }) {
      const bob = await as(BOB);
      expect(await errnoOf(bob.unlink(at('tmp/alice')))).toBe('EPERM');
      expect(await errnoOf(bob.rmdir(at('tmp/adir')))).toBe('EPERM');
      expect(await errnoOf(bob.rename(at('tmp/alice'), at('tmp/x')))).toBe('EPERM');
      expect(await errnoOf(bob.rename(at('tmp/bob'), at('tmp/alice')))).toBe('EPERM');
      await bob.rename(at('tmp/bob'), at('tmp/b'));
      await bob.unlink(at('tmp/b'));
    },
  },
  {
    name: 'the umask is applied to files, directories, fifos, not to symlinks',
    lowers: [{ d: directory({}, OPEN_TO_ALL) }],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      await alice.umask(0o077);
      await alice.put(at('d/f'), '', 0o301, 0o666);
      await alice.mkdir(at('d/d'), 0o777);
      await alice.mknod(at('d/p'), 0o010666);
      await alice.umask(0);
      await alice.put(at('d/all'), '', 0o301, 0o666);
      await alice.mkdir(at('d/dall'), 0o1777);
      await alice.umask(0o022);
      expect((await root.stat(at('d/f'))).mode).toBe(0o100600);
      expect((await root.stat(at('d/d'))).mode).toBe(0o040700);
      expect((await root.stat(at('d/p'))).mode).toBe(0o010600);
      expect((await root.stat(at('d/all'))).mode).toBe(0o100666);
      expect((await root.stat(at('d/dall'))).mode).toBe(0o041777);
    },
  },
  {
    name: 'default ACLs are inherited and take the place of the umask',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      const acl = { user: 7, users: { 77: 6 }, group: 5, mask: 7, other: 5 };
      await root.setxattr(at('d'), 'system.posix_acl_default', aclXattr(acl));
      await root.umask(0o077);
      await root.put(at('d/f'), '', 0o301, 0o666);
      await root.mkdir(at('d/sub'), 0o777);
      await root.umask(0o022);
      expect((await root.stat(at('d/f'))).mode).toBe(0o100664);
      const file = aclXattr({ ...acl, mask: 6 }).toString('latin1');
      expect(await root.listxattr(at('d/f'))).toContain('system.posix_acl_access');
      expect((await root.getxattr(at('d/f'), 'system.posix_acl_access')).length).toBe(file.length);
      expect(await root.getxattr(at('d/sub'), 'system.posix_acl_default')).toBe(aclXattr(acl).toString('latin1'));
      expect((await root.stat(at('d/sub'))).mode).toBe(0o040775);
    },
  },
  {
    name: 'default ACLs of a lower directory are inherited',
    lowers: [
      {
        d: directory(
          {},
          {
            xattrs: {
              'system.posix_acl_default': aclXattr({ user: 7, users: { 77: 6 }, group: 5, mask: 7, other: 0 }),
            },
          },
        ),
      },
    ],
    async run({ root, at }) {
      await root.put(at('d/f'), '', 0o301, 0o666);
      expect(await root.listxattr(at('d/f'))).toContain('system.posix_acl_access');
      expect((await root.stat(at('d/f'))).mode).toBe(0o100660);
    },
  },
  {
    name: 'an access ACL lets a named user in, and chmod changes its mask',
    lowers: [
      {
        a: file('x', {
          mode: 0o600,
          xattrs: { 'system.posix_acl_access': aclXattr({ user: 6, users: { 1000: 6 }, group: 0, mask: 6, other: 0 }) },
        }),
      },
    ],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      const bob = await as(BOB);
      expect(await alice.text(at('a'))).toBe('x');
      await alice.put(at('a'), 'y');
      expect(await errnoOf(bob.open(at('a'), O_RDONLY))).toBe('EACCES');
      await root.chmod(at('a'), 0o640);
      expect(await alice.text(at('a'))).toBe('y');
      expect(await errnoOf(alice.open(at('a'), O_WRONLY))).toBe('EACCES');
    },
  },
  {
    name: 'suid and sgid are cleared when another than root writes',
    lowers: [
      {
        lower: file('x', { mode: 0o6777 }),
        group: file('x', { mode: 0o2777 }),
      },
    ],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      await root.put(at('upper'), 'x');
      await root.chmod(at('upper'), 0o6777);
      for (const name of ['lower', 'upper', 'group']) {
        const fd = await alice.open(at(name), O_WRONLY);
        await alice.write(fd, 'y');
        await alice.close(fd);
        expect((await root.stat(at(name))).mode).toBe(0o100777);
      }
    },
  },
  {
    name: 'suid and sgid are cleared by truncate and by O_TRUNC of another than root',
    lowers: [{ a: file('xyz', { mode: 0o6777 }), b: file('xyz', { mode: 0o6777 }) }],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      await alice.truncate(at('a'), 1);
      await alice.close(await alice.open(at('b'), O_WRONLY | 0o1000));
      expect((await root.stat(at('a'))).mode).toBe(0o100777);
      expect((await root.stat(at('b'))).mode).toBe(0o100777);
    },
  },
  {
    name: 'suid and sgid are cleared by fallocate and copy_file_range of another than root',
    lowers: [{ a: file('xyz', { mode: 0o6777 }), b: file('xyz', { mode: 0o6777 }) }],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      const [a, b] = [await alice.open(at('a'), O_RDWR), await alice.open(at('b'), O_RDWR)];
      await alice.fallocate(a, 0, 0, 100);
      await alice.copyFileRange(a, b, 2);
      expect((await root.stat(at('a'))).mode).toBe(0o100777);
      expect((await root.stat(at('b'))).mode).toBe(0o100777);
    },
  },
  {
    name: 'suid and sgid are cleared by chown, for root too',
    lowers: [{ a: file('x', { mode: 0o6755 }) }],
    async run({ root, at }) {
      await root.chown(at('a'), 1000, 1000);
      expect((await root.stat(at('a'))).mode).toBe(0o100755);
    },
  },
  {
    name: 'suid stays when root writes',
    needs: ['CAP_FSETID'],
    lowers: [{ a: file('x', { mode: 0o4755 }) }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      await root.write(fd, 'y');
      await root.close(fd);
      expect((await root.stat(at('a'))).mode).toBe(0o104755);
    },
  },
  {
    name: 'file capabilities are cleared by a write and by chown',
    lowers: [
      {
        a: file('x', { mode: 0o777, xattrs: { 'security.capability': CAPABILITIES } }),
        b: file('x', { xattrs: { 'security.capability': CAPABILITIES } }),
      },
    ],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      const fd = await alice.open(at('a'), O_WRONLY);
      await alice.write(fd, 'y');
      await alice.close(fd);
      expect(await errnoOf(root.getxattr(at('a'), 'security.capability'))).toBe('ENODATA');
      await root.chown(at('b'), 5, 5);
      expect(await errnoOf(root.getxattr(at('b'), 'security.capability'))).toBe('ENODATA');
    },
  },
  {
    name: 'a user cannot set trusted.* or security.capability, nor read trusted.*',
    lowers: [{ mine: file('x', { uid: 1000 }) }],
    async run({ at, as }) {
      const alice = await as(ALICE);
      expect(await errnoOf(alice.setxattr(at('mine'), 'trusted.x', 'y'))).toBe('EPERM');
      expect(await errnoOf(alice.setxattr(at('mine'), 'security.capability', CAPABILITIES))).toBe('EPERM');
      await alice.setxattr(at('mine'), 'user.x', 'y');
      expect(await alice.listxattr(at('mine'))).toEqual(['user.x']);
    },
  },
  {
    name: 'a user renames and removes their own directory from a lower of another',
    lowers: [{ d: directory({ mine: directory({ f: file('x', { uid: 1000 }) }, { uid: 1000 }) }, OPEN_TO_ALL) }],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      await alice.unlink(at('d/mine/f'));
      await alice.rmdir(at('d/mine'));
      await alice.mkdir(at('d/mine'));
      await alice.rename(at('d/mine'), at('d/other'));
      expect(await root.names(at('d'))).toEqual(['other']);
      expect((await root.stat(at('d/other'))).uid).toBe(1000);
    },
  },
  {
    name: 'a copy-up that a user causes keeps the owner of the file and of its directories',
    lowers: [{ d: directory({ f: file('x', { mode: 0o666, uid: 42, gid: 43 }) }, { uid: 40, gid: 41, mode: 0o755 }) }],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      await alice.put(at('d/f'), 'y');
      expect(await root.stat(at('d/f'))).toMatchObject({ uid: 42, gid: 43, mode: 0o100666 });
      expect(await root.stat(at('d'))).toMatchObject({ uid: 40, gid: 41, mode: 0o040755 });
    },
  },
];

conformance(
  'users',
  rows.map((row) => ({ ...row, needs: ['many ids', ...(row.needs ?? [])] })),
);
