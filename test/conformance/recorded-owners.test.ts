import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { type Item, type Making, type Tree, directory, file } from '../support/tree.ts';
import { aclXattr } from './acl.ts';
import { ALICE, type Row, type Site, conformance } from './suite.ts';

// `xattr_permissions`: owners, modes and types in an xattr of the files, as fuse-overlayfs and containers/storage write it.

const RECORD = 'user.containers.override_stat';
const differs = { kernel: 'overlayfs knows no such records' } as const;

const recorded = (record: string, making: Making = {}): Making => ({ ...making, xattrs: { [RECORD]: record } });
const stub = (record: string, content = ''): Item => file(content, recorded(record));

/** Records of regular files, and what stat(2) shows for them; a real one is 0644 and root's. */
const SHOWN: readonly (readonly [record: string, mode: number, owner: string, device?: string])[] = [
  ['1000:1001:0640', 0o100640, '1000:1001'],
  ['1000:1001:4755', 0o104755, '1000:1001'],
  ['1:2:104711', 0o104711, '1:2'],
  ['0:42:0640:file', 0o100640, '0:42'],
  ['5:6:0660:block-8-1', 0o060660, '5:6', '8:1'],
  ['0:5:0620:char-4-64', 0o020620, '0:5', '4:64'],
  ['0:0:0666:char-1-3-of a later form', 0o020666, '0:0', '1:3'],
  ['7:8:0622:pipe', 0o010622, '7:8'],
  ['7:8:0755:socket', 0o140755, '7:8'],
  ['1000:-1:100600', 0o100600, '1000:0'],
];

/** What is no record, or says what cannot be: the file shows as it is. */
const IGNORED = [
  '',
  'text',
  '1:2',
  '1:2:',
  '1:2:0649',
  ' 1:2:0644',
  '-2:0:0644',
  '4294967296:0:0644',
  '1:2:0644:device',
  '0:0:0644:char-0-0',
  '0:0:0644:char',
  '0:0:0644:block-4096-1',
  '0:0:0644:char-1-99999999999999999999',
];

const format = (mode: number) => mode.toString(8);
const owner = ({ uid, gid }: { uid: number; gid: number }) => `${uid}:${gid}`;

async function look({ root, at }: Site, name: string): Promise<string> {
  const status = await root.stat(at(name));
  return `${format(status.mode)} ${owner(status)} ${status.rdevMajor}:${status.rdevMinor}`;
}

const byIndex = (items: readonly Item[]): Tree => Object.fromEntries(items.map((item, index) => [`f${index}`, item]));

const rows: readonly Row[] = [
  {
    name: 'a record of a lower file shows as its owner, mode and type',
    lowers: [byIndex(SHOWN.map(([record]) => stub(record)))],
    async run(site) {
      for (const [index, [record, mode, ids, device = '0:0']] of SHOWN.entries()) {
        expect(`${record}: ${await look(site, `f${index}`)}`).toBe(`${record}: ${format(mode)} ${ids} ${device}`);
      }
    },
  },
  {
    name: 'a record that is malformed changes nothing',
    lowers: [byIndex(IGNORED.map((record) => stub(record)))],
    async run(site) {
      for (const [index, record] of IGNORED.entries()) {
        expect(`${record}: ${await look(site, `f${index}`)}`).toBe(`${record}: 100644 0:0 0:0`);
      }
    },
  },
  {
    name: 'no file becomes a directory by its record, and no directory a file',
    lowers: [{ f: stub('1:2:0711:dir'), d: directory({ a: '' }, recorded('1:2:0711:file')) }],
    async run(site) {
      expect(await look(site, 'f')).toBe('100711 1:2 0:0');
      expect(await look(site, 'd')).toBe('40711 1:2 0:0');
      expect(await site.root.names(site.at('d'))).toEqual(['a']);
    },
  },
  {
    name: 'a listing has the types that stat shows',
    lowers: [{ char: stub('0:0:0600:char-1-3'), pipe: stub('0:0:0600:pipe'), plain: stub('0:0:0600:file'), d: {} }],
    async run({ root, at }) {
      const listed = await root.list(at());
      const types = Object.fromEntries(listed.map(({ name, type }) => [name, type]));
      expect(types).toMatchObject({ char: 2, pipe: 1, plain: 8, d: 4 });
    },
  },
  {
    name: 'a file that stands for a symlink has the target in it',
    lowers: [{ link: stub('0:0:0777:symlink', 'target'), target: 'content', empty: stub('0:0:0777:symlink') }],
    async run({ root, at }) {
      expect(await root.readlink(at('link'))).toBe('target');
      expect(await root.text(at('link'))).toBe('content');
      expect(await errnoOf(root.readlink(at('empty')))).toBe('EIO');
      await root.rename(at('link'), at('moved'));
      expect(await root.readlink(at('moved'))).toBe('target');
    },
  },
  {
    name: 'a fifo that a file stands for passes data, and none of it to the file',
    lowers: [{ pipe: stub('0:0:0600:pipe') }],
    async run({ root, at }) {
      const fd = await root.open(at('pipe'), 2 | 0o4000);
      await root.write(fd, 'through');
      expect((await root.read(fd, 7)).toString()).toBe('through');
      await root.close(fd);
    },
    async after({ root, at }) {
      expect((await root.stat(at('pipe'))).size).toBe(0);
    },
  },
  {
    name: 'chown and chmod are written down, and the file on disk stays ours',
    lowers: [{ low: 'l', d: { a: '' } }],
    async run({ root, at, upper }) {
      await root.put(at('new'), 'n');
      for (const name of ['low', 'new', 'd']) {
        await root.chown(at(name), 12, 34);
        await root.chmod(at(name), 0o5751);
        expect(owner(await root.stat(at(name)))).toBe('12:34');
        expect((await root.stat(at(name))).mode & 0o7777).toBe(0o5751);
        await root.chown(at(name), -1, 35);
        expect(owner(await root.stat(upper(name)))).toBe('0:0');
        expect((await root.stat(upper(name))).mode & 0o077).toBe(0);
      }
      expect(await root.getxattr(upper('low'), RECORD)).toBe('12:35:1751:file');
      expect(await root.getxattr(upper('d'), RECORD)).toBe('12:35:5751:dir');
    },
    async after(site) {
      expect(await look(site, 'low')).toBe('101751 12:35 0:0');
      expect(await look(site, 'new')).toBe('101751 12:35 0:0');
      expect(await look(site, 'd')).toBe('45751 12:35 0:0');
    },
  },
  {
    name: 'devices, fifos and sockets are made as files with a record',
    lowers: [{}],
    async run(site) {
      const { root, at, upper } = site;
      await root.mknod(at('p'), 0o010640);
      await root.mknod(at('s'), 0o140600);
      expect(await look(site, 'p')).toBe('10640 0:0 0:0');
      expect(await look(site, 's')).toBe('140600 0:0 0:0');
      expect(format((await root.stat(upper('p'))).mode)).toBe('100600');
      expect(await root.getxattr(upper('p'), RECORD)).toBe('0:0:0640:pipe');
      await root.chown(at('p'), 3, 4);
      await root.link(at('p'), at('q'));
      await root.rename(at('p'), at('r'));
    },
    async after(site) {
      for (const name of ['q', 'r']) expect(await look(site, name)).toBe('10640 3:4 0:0');
      expect(await look(site, 's')).toBe('140600 0:0 0:0');
    },
  },
  {
    name: 'device nodes are made as files with a record, but no whiteout is',
    needs: ['device nodes'],
    lowers: [{ low: stub('1:2:0600:block-8-1') }],
    async run(site) {
      const { root, at, upper } = site;
      await root.mknod(at('tty'), 0o020640, (4 << 8) | 64);
      expect(await look(site, 'tty')).toBe('20640 0:0 4:64');
      await root.chmod(at('low'), 0o660);
      expect(await root.getxattr(upper('low'), RECORD)).toBe('1:2:0660:block-8-1');
      expect(await errnoOf(root.mknod(at('w'), 0o020000))).toBe('EPERM');
    },
    async after(site) {
      expect(await look(site, 'tty')).toBe('20640 0:0 4:64');
      expect(await look(site, 'low')).toBe('60660 1:2 8:1');
    },
  },
  {
    name: 'copy-up, hard links and renames carry the record',
    lowers: [{ a: stub('12:34:4751', 'data'), d: directory({ x: stub('5:6:0600') }, recorded('7:8:2770')) }],
    async run(site) {
      const { root, at } = site;
      await root.chmod(at('a'), 0o4750);
      await root.link(at('a'), at('b'));
      await root.rename(at('a'), at('d/c'));
      await root.rename(at('d'), at('e'));
      expect(await root.text(at('b'))).toBe('data');
    },
    async after(site) {
      expect(await look(site, 'b')).toBe('104750 12:34 0:0');
      expect(await look(site, 'e/c')).toBe('104750 12:34 0:0');
      expect(await look(site, 'e')).toBe('42770 7:8 0:0');
      expect(await look(site, 'e/x')).toBe('100600 5:6 0:0');
    },
  },
  {
    name: 'what is made over a whiteout has its record, and whiteouts hide as ever',
    lowers: [{ a: stub('12:34:0751'), d: { x: '' }, gone: stub('0:0:0600:pipe') }],
    async run(site) {
      const { root, at } = site;
      await root.unlink(at('gone'));
      await root.unlink(at('a'));
      await root.put(at('a'), 'new', 0o1101, 0o604);
      await root.unlink(at('d/x'));
      await root.rmdir(at('d'));
      await root.mkdir(at('d'), 0o711);
    },
    async after(site) {
      expect(await look(site, 'a')).toBe('100604 0:0 0:0');
      expect(await look(site, 'd')).toBe('40711 0:0 0:0');
      expect(await site.root.names(site.at())).toEqual(['a', 'd']);
    },
  },
  {
    name: 'users are let in and kept out by the record',
    needs: ['many ids'],
    lowers: [{ open: stub('0:0:0644', 'o'), own: stub('1000:1000:0600', 'mine'), shut: stub('0:0:0600', 's') }],
    async run({ root, as, at }) {
      const alice = await as(ALICE);
      expect(await alice.text(at('open'))).toBe('o');
      expect(await errnoOf(alice.contents(at('shut')))).toBe('EACCES');
      await alice.put(at('own'), 'changed');
      await alice.chmod(at('own'), 0o640);
      expect(await errnoOf(alice.chmod(at('open'), 0o666))).toBe('EPERM');
      expect(await root.stat(at('own'))).toMatchObject({ uid: 1000, gid: 1000, mode: 0o100640 });
    },
  },
  {
    name: 'setuid and capabilities go with a chown and with a write by an ordinary user',
    needs: ['many ids'],
    lowers: [{ a: stub('0:0:6777', 'a'), b: stub('0:0:6777', 'b'), g: stub('0:0:2644', 'g') }],
    async run(site) {
      const { root, as, at } = site;
      await root.chown(at('a'), 1, -1);
      expect(await look(site, 'a')).toBe('100777 1:0 0:0');
      await (await as(ALICE)).put(at('b'), 'x', 1);
      expect(await look(site, 'b')).toBe('100777 0:0 0:0');
      await root.chown(at('g'), 1, -1);
      expect(await look(site, 'g')).toBe('102644 1:0 0:0');
    },
  },
  {
    name: 'what a user makes belongs to the user, and to the group of a setgid directory',
    needs: ['many ids'],
    lowers: [{ d: directory({}, recorded('0:77:3777')) }],
    async run(site) {
      const alice = await site.as(ALICE);
      await alice.umask(0o027);
      await alice.put(site.at('d/f'), 'x', 0o1101, 0o666);
      await alice.mkdir(site.at('d/sub'), 0o777);
      await alice.mknod(site.at('d/p'), 0o010666);
      expect(await look(site, 'd/f')).toBe('100640 1000:77 0:0');
      expect(await look(site, 'd/sub')).toBe('42750 1000:77 0:0');
      expect(await look(site, 'd/p')).toBe('10640 1000:77 0:0');
    },
  },
  {
    name: 'records are hidden from users of the mount, and not theirs to set',
    lowers: [{ f: stub('12:34:0640'), d: directory({}, recorded('12:34:0750')) }],
    async run({ root, at }) {
      for (const name of ['f', 'd']) {
        expect(await root.listxattr(at(name))).toEqual([]);
        expect(await errnoOf(root.getxattr(at(name), RECORD))).toBe('ENODATA');
        expect(await errnoOf(root.setxattr(at(name), RECORD, '0:0:4755'))).toBe('EPERM');
        expect(await errnoOf(root.removexattr(at(name), RECORD))).toBe('EPERM');
        const inner = 'user.containers.override_security.capability';
        expect(await errnoOf(root.setxattr(at(name), inner, 'x'))).toBe('EPERM');
      }
    },
  },
  {
    name: 'xattrs of an inner overlay are kept under names that mean nothing to this one',
    lowers: [{ d: { x: '' } }],
    async run({ root, at, upper }) {
      await root.setxattr(at('d'), 'user.overlay.opaque', 'y');
      expect(await root.getxattr(at('d'), 'user.overlay.opaque')).toBe('y');
      expect(await root.listxattr(at('d'))).toEqual(['user.overlay.opaque']);
      expect(await root.getxattr(upper('d'), 'user.containers.override_user.overlay.opaque')).toBe('y');
      expect(await errnoOf(root.getxattr(upper('d'), 'user.overlay.opaque'))).toBe('ENODATA');
    },
    async after({ root, at }) {
      expect(await root.names(at('d'))).toEqual(['x']);
      await root.removexattr(at('d'), 'user.overlay.opaque');
      expect(await root.listxattr(at('d'))).toEqual([]);
    },
  },
  {
    name: 'file capabilities are kept under a name that an ordinary user may set',
    lowers: [{ low: 'x' }],
    async run({ root, at, upper }) {
      // VFS_CAP_REVISION_2 with CAP_NET_RAW, linux/capability.h.
      const value = Buffer.from('0100000200200000000000000000000000000000', 'hex');
      await root.setxattr(at('low'), 'security.capability', value);
      expect(await root.listxattr(at('low'))).toEqual(['security.capability']);
      expect(await root.getxattr(at('low'), 'security.capability')).toBe(value.toString('latin1'));
      expect(await root.listxattr(upper('low'))).toContain('user.containers.override_security.capability');
      await root.chown(at('low'), 1, 1).catch(() => undefined);
      await root.chown(at('low'), 0, 0);
      expect(await root.listxattr(at('low'))).toEqual([]);
    },
  },
  {
    name: 'an ACL and the mode in the record are kept in step',
    lowers: [{ f: stub('0:0:0640', 'x'), d: {} }],
    async run(site) {
      const { root, at, upper } = site;
      const acl = { user: 6, users: { 1000: 7 }, group: 4, mask: 5, other: 1 };
      await root.setxattr(at('f'), 'system.posix_acl_access', aclXattr(acl));
      expect(await look(site, 'f')).toBe('100651 0:0 0:0');
      expect(await root.listxattr(upper('f'))).not.toContain('system.posix_acl_access');
      await root.chmod(at('f'), 0o604);
      const changed = aclXattr({ ...acl, mask: 0, other: 4 }).toString('latin1');
      expect(await root.getxattr(at('f'), 'system.posix_acl_access')).toBe(changed);
      await root.setxattr(at('f'), 'system.posix_acl_access', aclXattr({ user: 7, group: 5, other: 0 }));
      expect(await root.listxattr(at('f'))).toEqual([]);
      expect(await look(site, 'f')).toBe('100750 0:0 0:0');
    },
  },
  {
    name: 'a default ACL is inherited in the place of the umask',
    lowers: [{ d: {} }],
    async run(site) {
      const { root, at } = site;
      const acl = { user: 7, users: { 1000: 6 }, group: 5, mask: 7, other: 0 };
      await root.setxattr(at('d'), 'system.posix_acl_default', aclXattr(acl));
      await root.put(at('d/f'), 'x', 0o1101, 0o666);
      await root.mkdir(at('d/s'), 0o777);
      expect(await look(site, 'd/f')).toBe('100660 0:0 0:0');
      expect(await root.getxattr(at('d/f'), 'system.posix_acl_access')).toBe(
        aclXattr({ ...acl, user: 6, mask: 6 }).toString('latin1'),
      );
      expect(await look(site, 'd/s')).toBe('40770 0:0 0:0');
      expect(await root.getxattr(at('d/s'), 'system.posix_acl_default')).toBe(aclXattr(acl).toString('latin1'));
      expect(await root.getxattr(at('d/s'), 'system.posix_acl_access')).toBe(aclXattr(acl).toString('latin1'));
    },
  },
];

const limited = rows.map((row) => ({ ...row, differs }));

conformance('owners in records', limited, { options: { lamina: ['xattr_permissions=2'] } });
conformance(
  'owners in records, metadata-only copy-up',
  limited.filter(({ name }) => /copy-up|written down/.test(name)),
  { options: { lamina: ['xattr_permissions=2', 'metacopy=on'] } },
);
