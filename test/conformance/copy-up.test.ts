import { expect } from 'vitest';
import { directory, file, hardlink, node, snapshot, symlink } from '../support/tree.ts';
import { aclXattr } from './acl.ts';
import { DATA_MOUNTERS } from '../support/mounters.ts';
import { type Row, conformance, dropCaches } from './suite.ts';

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const OLD = 1_000_000_000_123_456_789n;
const MIB = 1024 * 1024;

const DIRECTORY_MODES = [0o000, 0o311, 0o555, 0o700, 0o777, 0o1777, 0o2755, 0o6711] as const;

const rows: readonly Row[] = [
  {
    name: 'copy-up by a write keeps owner, mode, xattrs, ACL and atime',
    needs: ['many ids'],
    lowers: [
      {
        a: file('content', {
          uid: 12,
          gid: 34,
          mode: 0o1640,
          mtime: OLD,
          xattrs: {
            'user.x': 'y',
            'system.posix_acl_access': aclXattr({ user: 6, users: { 77: 4 }, group: 4, mask: 6, other: 0 }),
          },
        }),
      },
    ],
    async run({ root, at, upper, lower }) {
      const before = await snapshot(root, lower(0));
      const fd = await root.open(at('a'), O_WRONLY);
      await root.pwrite(fd, 'C', 0);
      await root.close(fd);
      for (const path of [at('a'), upper('a')]) {
        expect(await root.stat(path)).toMatchObject({ uid: 12, gid: 34, mode: 0o101660 });
        expect(await root.getxattr(path, 'user.x')).toBe('y');
        const acl = await root.getxattr(path, 'system.posix_acl_access');
        expect(acl).toBe(await root.getxattr(lower(0, 'a'), 'system.posix_acl_access'));
        expect(await root.text(path)).toBe('Content');
      }
      expect(await snapshot(root, lower(0))).toEqual(before);
    },
  },
  {
    name: 'copy-up by a link keeps mode with suid, times to the nanosecond and content',
    lowers: [{ a: file('content', { mode: 0o4755, mtime: OLD }) }],
    async run({ root, at }) {
      await root.link(at('a'), at('b'));
    },
    async after({ root, at }) {
      for (const name of ['a', 'b']) {
        expect(await root.stat(at(name))).toMatchObject({ mode: 0o104755, mtime: OLD, size: 7 });
        expect(await root.text(at(name))).toBe('content');
      }
    },
  },
  {
    name: 'copy-up of a directory keeps its mode, ACL and xattrs, whatever the umask',
    lowers: [
      {
        ...Object.fromEntries(DIRECTORY_MODES.map((mode) => [mode.toString(8), directory({}, { mode })])),
        acl: directory(
          {},
          { mode: 0o750, xattrs: { 'system.posix_acl_default': aclXattr({ user: 7, group: 5, other: 0 }) } },
        ),
        noted: directory({}, { mode: 0o755, xattrs: { 'user.note': 'text' } }),
      },
    ],
    async run({ root, at, upper }) {
      // Of what was made last.
      await root.umask(0o777);
      await root.mkdir(at('hidden'));
      await root.umask(0o022);
      for (const name of [...DIRECTORY_MODES.map((mode) => mode.toString(8)), 'acl', 'noted'])
        await root.utimens(at(name), OLD, OLD);
      for (const name of await root.names(at())) expect([name, await root.exists(upper(name))]).toEqual([name, true]);
    },
    async after({ root, at }) {
      for (const mode of DIRECTORY_MODES)
        expect(await root.stat(at(mode.toString(8)))).toMatchObject({ mode: 0o040000 | mode, mtime: OLD });
      expect((await root.stat(at('acl'))).mode).toBe(0o040750);
      expect((await root.getxattr(at('acl'), 'system.posix_acl_default')).length).toBeGreaterThan(0);
      expect(await root.getxattr(at('noted'), 'user.note')).toBe('text');
    },
  },
  {
    name: 'copy-up of a symlink, a fifo and a socket keeps owner and times',
    needs: ['many ids'],
    lowers: [{ d: directory({ s: symlink('../x'), p: node(0o010640), k: node(0o140600) }) }],
    async run({ root, at }) {
      for (const name of ['s', 'p', 'k']) {
        const before = await root.stat(at(`d/${name}`));
        await root.chown(at(`d/${name}`), 8, 9);
        const after = await root.stat(at(`d/${name}`));
        expect(after).toMatchObject({ mode: before.mode, mtime: before.mtime, uid: 8, gid: 9, ino: before.ino });
      }
    },
    async after({ root, at }) {
      expect(await root.readlink(at('d/s'))).toBe('../x');
      expect((await root.stat(at('d/p'))).mode).toBe(0o010640);
    },
  },
  {
    name: 'copy-up of a device keeps its numbers',
    needs: ['device nodes'],
    lowers: [{ c: node(0o020600, 0x103), b: node(0o060600, 0x705) }],
    async run({ root, at }) {
      await root.chmod(at('c'), 0o666);
      await root.chmod(at('b'), 0o660);
    },
    async after({ root, at }) {
      expect(await root.stat(at('c'))).toMatchObject({ mode: 0o020666, rdevMajor: 1, rdevMinor: 3 });
      expect(await root.stat(at('b'))).toMatchObject({ mode: 0o060660, rdevMajor: 7, rdevMinor: 5 });
    },
  },
  {
    name: 'copy-up of a sparse file keeps its holes',
    lowers: [{ d: {} }],
    async run({ root, at, lower, upper, unmounted }) {
      await unmounted(async () => {
        await root.put(lower(0, 'sparse'), '');
        const fd = await root.open(lower(0, 'sparse'), O_RDWR);
        await root.pwrite(fd, 'middle', 32 * MIB);
        await root.ftruncate(fd, 64 * MIB);
        await root.close(fd);
      });
      const fd = await root.open(at('sparse'), O_WRONLY);
      await root.pwrite(fd, 'start', 0);
      await root.close(fd);
      const copy = await root.open(upper('sparse'), O_RDONLY);
      const status = await root.fstat(copy);
      expect(status.size).toBe(64 * MIB);
      expect(status.blocks * 512).toBeLessThan(8 * MIB);
      expect((await root.pread(copy, 6, 32 * MIB)).toString()).toBe('middle');
    },
  },
  {
    name: 'a file of 9 MiB with odd length comes through a copy-up whole',
    lowers: [{}],
    async run({ root, at, lower, unmounted }) {
      const content = Buffer.alloc(9 * MIB + 4_099);
      for (let index = 0; index < content.length; index += 61) content.writeUInt8((index * 31) & 0xff, index);
      await unmounted(() => root.put(lower(0, 'big'), content));
      const fd = await root.open(at('big'), O_WRONLY);
      await root.pwrite(fd, 'PATCH', 5 * MIB);
      await root.close(fd);
      content.write('PATCH', 5 * MIB);
      expect((await root.contents(at('big'))).equals(content)).toBe(true);
    },
  },
  {
    name: 'copy-up with O_TRUNC of a big lower file copies no data',
    lowers: [{ d: {} }],
    async run({ root, at, lower, unmounted }) {
      await unmounted(async () => {
        await root.put(lower(0, 'big'), Buffer.alloc(4 * MIB, 'x'));
        await root.chmod(lower(0, 'big'), 0o640);
      });
      await root.put(at('big'), 'small');
      expect(await root.stat(at('big'))).toMatchObject({ size: 5, mode: 0o100640 });
      expect(await root.text(at('big'))).toBe('small');
      expect((await root.stat(lower(0, 'big'))).size).toBe(4 * MIB);
    },
  },
  {
    name: 'reading, stat and listing copy nothing up',
    lowers: [{ d: { a: 'a', s: symlink('a') } }],
    async run({ root, at, upper }) {
      await snapshot(root, at());
      await root.close(await root.open(at('d/a'), O_RDONLY));
      await root.access(at('d/a'), 2);
      expect(await root.exists(upper())).toBe(false);
    },
  },
  {
    name: 'reading does not change the atime of the lower file',
    lowers: [{ a: file('x', { mtime: OLD }) }],
    async run({ root, at, lower }) {
      const before = (await root.stat(lower(0, 'a'))).atime;
      await root.text(at('a'));
      expect((await root.stat(lower(0, 'a'))).atime).toBe(before);
    },
  },
  {
    name: 'a read-only descriptor opened before the copy-up sees what is written after it',
    lowers: [{ a: 'old content' }],
    async run({ root, at }) {
      const reader = await root.open(at('a'), O_RDONLY);
      expect((await root.pread(reader, 3, 0)).toString()).toBe('old');
      const writer = await root.open(at('a'), O_WRONLY);
      await root.pwrite(writer, 'new', 0);
      expect((await root.pread(reader, 100, 0)).toString()).toBe('new content');
      await root.pwrite(writer, '!', 20);
      expect((await root.fstat(reader)).size).toBe(21);
      expect((await root.pread(reader, 100, 11)).toString()).toBe('\0\0\0\0\0\0\0\0\0!');
    },
  },
  {
    name: 'such a descriptor sees it after the caches are dropped too',
    needs: ['drop caches'],
    lowers: [{ a: 'old content' }],
    async run({ root, at }) {
      const reader = await root.open(at('a'), O_RDONLY);
      await root.pread(reader, 3, 0);
      await root.put(at('a'), 'entirely new and longer');
      dropCaches();
      expect((await root.pread(reader, 100, 0)).toString()).toBe('entirely new and longer');
      expect((await root.fstat(reader)).size).toBe(23);
    },
  },
  {
    name: 'fstat of a descriptor opened before sees the metadata of the copy',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDONLY);
      const { ino } = await root.fstat(fd);
      await root.chmod(at('a'), 0o611);
      await root.utimens(at('a'), OLD, OLD);
      expect(await root.fstat(fd)).toMatchObject({ mode: 0o100611, mtime: OLD, ino });
    },
  },
  {
    name: 'st_ino stays over copy-up and is unique, for files, directories and symlinks',
    lowers: [{ a: 'a', d: { x: 'x' }, s: symlink('a') }, { d: { y: 'y' } }],
    async run({ root, at }) {
      const names = ['a', 'd', 'd/x', 'd/y', 's'];
      const before = await Promise.all(names.map((name) => root.stat(at(name))));
      await root.put(at('a'), 'changed');
      await root.put(at('d/n'), 'new');
      await root.put(at('d/x'), 'changed');
      await root.utimens(at('s'), OLD, OLD);
      await root.chmod(at('d/y'), 0o600);
      const after = await Promise.all([...names, 'd/n'].map((name) => root.stat(at(name))));
      expect(after.slice(0, -1).map(({ ino }) => ino)).toEqual(before.map(({ ino }) => ino));
      expect(new Set(after.map(({ ino }) => ino)).size).toBe(names.length + 1);
    },
  },
  {
    name: 'st_ino of a copied-up file and directory is the same after a remount',
    lowers: [{ a: 'a', d: { x: 'x' } }],
    async run({ root, at, remount }) {
      const before = [(await root.stat(at('a'))).ino, (await root.stat(at('d'))).ino, (await root.stat(at('d/x'))).ino];
      await root.put(at('a'), 'changed');
      await root.put(at('d/x'), 'changed');
      await remount();
      const after = [(await root.stat(at('a'))).ino, (await root.stat(at('d'))).ino, (await root.stat(at('d/x'))).ino];
      expect(after).toEqual(before);
    },
  },
  {
    name: 'the workdir holds nothing once copy-ups are done',
    lowers: [{ a: 'a', d: { b: 'b' } }],
    async run({ root, at, ground }) {
      await root.put(at('a'), 'x');
      await root.put(at('d/b'), 'x');
      await root.unlink(at('d/b'));
      const left = await root.names(`${ground.directory}/work/work`);
      expect(left.filter((name) => !name.startsWith('#'))).toEqual([]);
    },
  },
];

const links: readonly Row[] = [
  {
    name: 'lower hard links are one file, and stay one when one of them is written',
    lowers: [{ a: 'one', b: hardlink('a'), d: { c: hardlink('../a') } }],
    async run({ root, at, lower }) {
      const names = ['a', 'b', 'd/c'];
      expect(new Set(await Promise.all(names.map(async (name) => (await root.stat(at(name))).ino))).size).toBe(1);
      await root.put(at('b'), 'two');
      for (const name of names) expect(await root.text(at(name))).toBe('two');
      for (const name of names) expect((await root.stat(at(name))).nlink).toBe(3);
      expect(new Set(await Promise.all(names.map(async (name) => (await root.stat(at(name))).ino))).size).toBe(1);
      expect(await root.text(lower(0, 'a'))).toBe('one');
    },
  },
  {
    name: 'unlink of one lower hard link leaves the others, with one link less',
    lowers: [{ a: 'one', b: hardlink('a'), c: hardlink('a') }],
    async run({ root, at }) {
      await root.unlink(at('a'));
      expect((await root.stat(at('b'))).nlink).toBe(2);
      expect(await root.text(at('c'))).toBe('one');
    },
  },
  {
    name: 'the count of links left to a lower file is the same after a remount',
    lowers: [{ a: 'one', b: hardlink('a'), c: hardlink('a') }],
    async run({ root, at }) {
      await root.unlink(at('a'));
    },
    async after({ root, at }) {
      expect((await root.stat(at('b'))).nlink).toBe(2);
    },
  },
  {
    name: 'a lower hard link that is renamed is still the same file as the others',
    lowers: [{ a: 'one', b: hardlink('a') }],
    async run({ root, at }) {
      await root.rename(at('a'), at('z'));
      await root.put(at('z'), 'two');
      expect(await root.text(at('b'))).toBe('two');
      expect((await root.stat(at('b'))).ino).toBe((await root.stat(at('z'))).ino);
    },
  },
  {
    name: 'a descriptor of one lower hard link sees what is written through another',
    lowers: [{ a: 'one', b: hardlink('a') }],
    async run({ root, at }) {
      const reader = await root.open(at('a'), O_RDONLY);
      await root.put(at('b'), 'two');
      expect((await root.read(reader, 10)).toString()).toBe('two');
    },
  },
  {
    name: 'metadata set through one lower hard link shows through the others',
    lowers: [{ a: 'one', b: hardlink('a') }],
    async run({ root, at }) {
      await root.chmod(at('a'), 0o600);
      await root.setxattr(at('b'), 'user.x', 'y');
      expect((await root.stat(at('b'))).mode).toBe(0o100600);
      expect(await root.getxattr(at('a'), 'user.x')).toBe('y');
    },
  },
  {
    name: 'lower hard links are one file after a remount too',
    lowers: [{ a: 'one', b: hardlink('a') }],
    async run({ root, at }) {
      await root.put(at('b'), 'two');
    },
    async after({ root, at }) {
      expect(await root.text(at('a'))).toBe('two');
      expect((await root.stat(at('a'))).ino).toBe((await root.stat(at('b'))).ino);
    },
  },
  {
    name: 'a copied-up file of two names and the names that its lower file got since are two files, with two numbers',
    lowers: [{ a: 'one' }],
    async run({ root, at, lower, unmounted, remount }) {
      await root.link(at('a'), at('b'));
      await unmounted(async () => {
        for (const name of ['c', 'd']) await root.link(lower(0, 'a'), lower(0, name));
      });
      await root.link(at('c'), at('e'));
      await remount();
      const numbers = await Promise.all(['a', 'b', 'c', 'd', 'e'].map(async (name) => (await root.stat(at(name))).ino));
      expect(new Set(numbers.slice(0, 2)).size).toBe(1);
      expect(new Set(numbers.slice(2)).size).toBe(1);
      expect(numbers[2]).not.toBe(numbers[0]);
    },
  },
  {
    name: 'holes of an unchanged lower file are told',
    lowers: [{ d: {} }],
    async run({ root, at, lower, unmounted }) {
      await unmounted(async () => {
        await root.put(lower(0, 'sparse'), '');
        const fd = await root.open(lower(0, 'sparse'), O_RDWR);
        await root.pwrite(fd, 'x', 8 * MIB);
        await root.close(fd);
      });
      const fd = await root.open(at('sparse'), O_RDONLY);
      expect(await root.lseek(fd, 0, SEEK_HOLE)).toBe(0);
      expect(await root.lseek(fd, 0, SEEK_DATA)).toBe(8 * MIB);
    },
  },
];

conformance('copy-up', [...rows, ...links], { mounters: DATA_MOUNTERS });
