import { expect } from 'vitest';
import { LIMITS } from '../../fs/libfuse/limits.ts';
import { errnoOf } from '../support/agent.ts';
import { type System } from '../support/system.ts';
import { type Tree, directory, file } from '../support/tree.ts';
import { aclXattr } from './acl.ts';
import { DATA_MOUNTERS } from '../support/mounters.ts';
import { ALICE, BOB, type Row, conformance } from './suite.ts';

// POSIX ACLs, and what a change of content takes away: setuid, setgid and file capabilities.

const O_RDONLY = 0;
const O_RDWR = 2;
const O_WRONLY = 1;
const O_TRUNC = 0o1000;
const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';
const CAPABILITY = 'security.capability';
const PAGE = 4096;

/** `struct vfs_cap_data` of revision 2: cap_net_raw, permitted and effective. */
const NET_RAW = Buffer.from('0100000200200000000000000000000000000000', 'hex');

const FOR_ALICE = aclXattr({ user: 6, users: { 1000: 6 }, group: 0, mask: 6, other: 0 });
const INHERITED = aclXattr({ user: 7, users: { 1000: 7 }, group: 5, mask: 7, other: 0 });

const acls: readonly Row[] = [
  {
    name: 'ACLs of a lower directory and file come along at copy-up, and hold after a remount',
    differs: { 'fuse-native': LIMITS.acl },
    lowers: [
      {
        d: directory(
          { f: file('x', { mode: 0o600, xattrs: { [ACCESS]: FOR_ALICE } }) },
          { mode: 0o700, xattrs: { [ACCESS]: INHERITED, [DEFAULT]: INHERITED } },
        ),
      },
    ],
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      await root.chown(at('d/f'), 0, 0);
      await alice.put(at('d/f'), 'by alice', O_WRONLY | O_TRUNC);
      await alice.put(at('d/new'), 'new');
    },
    async after({ root, at, as }) {
      const [alice, bob] = [await as(ALICE), await as(BOB)];
      expect(await alice.text(at('d/f'))).toBe('by alice');
      expect(await errnoOf(bob.stat(at('d/f')))).toBe('EACCES');
      expect(await root.getxattr(at('d'), DEFAULT)).toBe(INHERITED.toString('latin1'));
      expect(await root.getxattr(at('d/f'), ACCESS)).toBe(FOR_ALICE.toString('latin1'));
      expect(await root.listxattr(at('d/new'))).toEqual([ACCESS]);
    },
  },
  {
    name: 'ACLs are set, cut by chmod, and removed on lower and upper files, and the mode tells their mask',
    differs: { 'fuse-native': LIMITS.acl },
    lowers: [{ low: file('x', { mode: 0o640 }) }],
    upper: { up: file('x', { mode: 0o640 }) },
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      for (const name of ['low', 'up']) {
        await root.setxattr(at(name), ACCESS, FOR_ALICE);
        expect((await root.stat(at(name))).mode).toBe(0o100660);
        expect(await errnoOf(alice.open(at(name), O_RDWR))).toBe('none');
        await root.chmod(at(name), 0o600);
        expect(await errnoOf(alice.open(at(name), O_RDONLY))).toBe('EACCES');
        await root.removexattr(at(name), ACCESS);
        expect(await root.listxattr(at(name))).toEqual([]);
        expect((await root.stat(at(name))).mode).toBe(0o100600);
      }
    },
  },
  {
    name: 'to remove an ACL that is not there succeeds, and copies nothing up',
    differs: { kernel: 'overlayfs answers ENODATA of a lower file, unlike any filesystem below it' },
    lowers: [{ low: file('x'), d: {} }],
    upper: { up: file('x') },
    async run({ root, at, upper }) {
      for (const name of ['low', 'd', 'up']) {
        await root.removexattr(at(name), ACCESS);
        await root.removexattr(at(name), DEFAULT);
      }
      expect(await root.exists(upper('low'))).toBe(false);
      expect(await root.exists(upper('d'))).toBe(false);
    },
  },
  {
    name: 'to remove an ACL leaves setgid, of a group that the caller is not in, too',
    differs: { kernel: 'overlayfs takes setgid away, unlike any filesystem below it', 'fuse-native': LIMITS.acl },
    needs: ['many ids'],
    lowers: [{ low: directory({}, { uid: 1000, gid: 0, mode: 0o2775 }) }],
    upper: { up: directory({}, { uid: 1000, gid: 0, mode: 0o2775 }) },
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      for (const name of ['low', 'up']) {
        await alice.removexattr(at(name), ACCESS);
        expect((await root.stat(at(name))).mode).toBe(0o042775);
      }
    },
  },
  {
    name: 'an ACL that says no more than the mode is the mode alone',
    lowers: [{ a: file('x', { mode: 0o600 }) }],
    async run({ root, at }) {
      await root.setxattr(at('a'), ACCESS, aclXattr({ user: 7, group: 5, other: 1 }));
      expect((await root.stat(at('a'))).mode).toBe(0o100751);
      expect(await root.listxattr(at('a'))).toEqual([]);
    },
    differs: { 'fuse-native': LIMITS.acl },
  },
  {
    name: 'no ACL on a symlink, no default ACL on a file, none that is malformed, none of another’s file',
    lowers: [{ a: file('x', { mode: 0o666 }), d: {} }],
    differs: { 'fuse-native': LIMITS.acl },
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      await root.symlink('a', at('s'));
      expect(await errnoOf(root.setxattr(at('s'), ACCESS, FOR_ALICE))).toBe('EOPNOTSUPP');
      expect(await errnoOf(root.setxattr(at('a'), DEFAULT, FOR_ALICE))).toBe('EACCES');
      expect(await errnoOf(root.setxattr(at('a'), ACCESS, FOR_ALICE.subarray(0, 20)))).toBe('EINVAL');
      expect(await errnoOf(alice.setxattr(at('a'), ACCESS, FOR_ALICE))).toBe('EPERM');
      expect(await errnoOf(alice.removexattr(at('d'), DEFAULT))).toBe('EPERM');
      expect(await root.listxattr(at('a'))).toEqual([]);
    },
  },
  {
    name: 'default ACLs are inherited by directories, fifos and temporary names alike, not by symlinks',
    lowers: [{ d: directory({}, { xattrs: { [DEFAULT]: INHERITED } }) }],
    async run({ root, at }) {
      await root.mkdir(at('d/sub'), 0o777);
      await root.mknod(at('d/p'), 0o010666);
      await root.symlink('x', at('d/s'));
      expect(await root.listxattr(at('d/sub'))).toEqual([ACCESS, DEFAULT]);
      expect((await root.stat(at('d/sub'))).mode).toBe(0o040770);
      expect(await root.listxattr(at('d/p'))).toEqual([ACCESS]);
      expect(await root.listxattr(at('d/s'))).toEqual([]);
      await root.put(at('d/sub/deep'), '', 0o301, 0o644);
      expect((await root.stat(at('d/sub/deep'))).mode).toBe(0o100640);
    },
  },
  {
    name: 'a file moved into a directory with a default ACL keeps what it has',
    lowers: [{ d: directory({}, { xattrs: { [DEFAULT]: INHERITED } }), f: file('x', { mode: 0o604 }) }],
    async run({ root, at }) {
      await root.rename(at('f'), at('d/f'));
      expect(await root.listxattr(at('d/f'))).toEqual([]);
      expect((await root.stat(at('d/f'))).mode).toBe(0o100604);
    },
  },
];

interface Content {
  readonly name: string;
  readonly change: (user: System, path: string) => Promise<unknown>;
  readonly differs?: Row['differs'];
}

async function through(user: System, path: string, change: (fd: number) => Promise<unknown>): Promise<void> {
  const fd = await user.open(path, O_RDWR);
  await change(fd);
  await user.close(fd);
}

const CONTENTS: readonly Content[] = [
  { name: 'a write', change: (user, path) => through(user, path, (fd) => user.write(fd, 'y')) },
  { name: 'truncate', change: (user, path) => user.truncate(path, 1) },
  { name: 'ftruncate', change: (user, path) => through(user, path, (fd) => user.ftruncate(fd, 1)) },
  { name: 'O_TRUNC', change: async (user, path) => user.close(await user.open(path, O_WRONLY | O_TRUNC)) },
  {
    name: 'fallocate',
    change: (user, path) => through(user, path, (fd) => user.fallocate(fd, 0, 0, 2 * PAGE)),
  },
  {
    name: 'copy_file_range',
    change: async (user, path) => {
      const from = await user.open(`${path}-source`, O_RDONLY);
      await through(user, path, (fd) => user.copyFileRange(from, fd, 3));
      await user.close(from);
    },
  },
];

/** The file itself in lower and upper, and what copy_file_range takes. */
function targets(content: Tree[string]): Pick<Row, 'lowers' | 'upper'> {
  return { lowers: [{ low: content, 'low-source': 'abc' }], upper: { up: content, 'up-source': 'abc' } };
}

const cleared: readonly Row[] = CONTENTS.flatMap(({ name, change, differs }): readonly Row[] => [
  {
    name: `${name} of another than root clears setuid and setgid, in lower and upper`,
    differs,
    ...targets(file('xyz', { mode: 0o6777 })),
    async run({ root, at, as }) {
      const alice = await as(ALICE);
      for (const file of ['low', 'up']) {
        await change(alice, at(file));
        expect([file, (await root.stat(at(file))).mode]).toEqual([file, 0o100777]);
      }
    },
    async after({ root, at }) {
      for (const file of ['low', 'up']) expect([file, (await root.stat(at(file))).mode]).toEqual([file, 0o100777]);
    },
  },
  {
    name: `${name} clears file capabilities, of root too, in lower and upper`,
    needs: ['trusted xattrs'],
    differs,
    ...targets(file('xyz', { mode: 0o755, xattrs: { [CAPABILITY]: NET_RAW } })),
    async run({ root, at }) {
      for (const file of ['low', 'up']) {
        expect(await root.listxattr(at(file))).toEqual([CAPABILITY]);
        await change(root, at(file));
        expect([file, await root.listxattr(at(file))]).toEqual([file, []]);
      }
    },
    async after({ root, at }) {
      for (const file of ['low', 'up']) expect([file, await root.listxattr(at(file))]).toEqual([file, []]);
    },
  },
]);

const kept: readonly Row[] = [
  {
    name: 'chmod, utimens, link, rename and a read leave file capabilities and setuid',
    needs: ['trusted xattrs'],
    lowers: [{ a: file('x', { mode: 0o4755, xattrs: { [CAPABILITY]: NET_RAW } }) }],
    async run({ root, at }) {
      await root.text(at('a'));
      await root.utimens(at('a'), 5n, 7n);
      await root.chmod(at('a'), 0o4711);
      await root.link(at('a'), at('b'));
      await root.rename(at('a'), at('c'));
    },
    async after({ root, at }) {
      for (const name of ['b', 'c']) {
        expect((await root.stat(at(name))).mode).toBe(0o104711);
        expect(await root.getxattr(at(name), CAPABILITY)).toBe(NET_RAW.toString('latin1'));
      }
    },
  },
  {
    name: 'chown of a directory leaves its setgid, of a file without group execution its setgid too',
    needs: ['many ids'],
    lowers: [{ d: directory({}, { mode: 0o2775 }), f: file('x', { mode: 0o2745 }) }],
    async run({ root, at }) {
      await root.chown(at('d'), 12, 34);
      await root.chown(at('f'), 12, 34);
      expect((await root.stat(at('d'))).mode).toBe(0o042775);
      expect((await root.stat(at('f'))).mode).toBe(0o102745);
    },
  },
];

conformance('privileges', [...acls, ...cleared, ...kept], { mounters: DATA_MOUNTERS });
