import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { type Filesystem } from '../support/filesystems.ts';
import { FEW_MOUNTERS } from '../support/mounters.ts';
import { type System } from '../support/system.ts';
import { directory, file, hardlink, snapshot, symlink } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

// What depends on the filesystems that the layers are on.

const TMPFS: Filesystem = { kind: 'tmpfs', mebibytes: 64 };
const EXT4: Filesystem = { kind: 'ext4', mebibytes: 32, make: ['-m', '0'] };
// mkfs.xfs makes none that is smaller.
const XFS: Filesystem = { kind: 'xfs', mebibytes: 300 };
const BTRFS: Filesystem = { kind: 'btrfs', mebibytes: 256 };

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_CREAT = 0o100;
const MIB = 1024 * 1024;
const OLD = 1_000_000_000_123_456_789n;

const several: readonly Row[] = [
  {
    name: 'inode numbers are unique over layers on several filesystems, stay at copy-up, and are those that are listed',
    lowers: [
      { a: 'tmpfs', da: { x: '' } },
      { b: 'xfs', db: { x: '' } },
      { c: 'ext4', dc: { x: '' } },
    ],
    upper: { u: 'upper' },
    async run({ root, at, mountpoint }) {
      const names = ['a', 'b', 'c', 'u', 'da', 'db', 'dc', 'da/x', 'db/x', 'dc/x'];
      const all = () => Promise.all(names.map((name) => root.stat(at(name))));
      const before = await all();
      expect(new Set(before.map(({ ino }) => ino)).size).toBe(names.length);
      const { device } = await root.stat(mountpoint);
      for (const status of before) expect(status.device).toBe(device);
      for (const { name, ino } of await root.list(at()))
        if (!name.startsWith('.')) expect([name, ino]).toEqual([name, before[names.indexOf(name)]?.ino]);
      for (const name of ['a', 'b', 'c']) await root.put(at(name), 'changed');
      for (const name of ['da', 'db', 'dc']) await root.put(at(`${name}/x`), 'changed');
      expect((await all()).map(({ ino }) => ino)).toEqual(before.map(({ ino }) => ino));
    },
  },
  {
    name: 'inode numbers of files of several filesystems are the same after a remount, copied up or not',
    lowers: [
      { a: 'tmpfs', a2: '' },
      { b: 'xfs', b2: '' },
      { c: 'ext4', c2: '' },
    ],
    async run({ root, at, remount }) {
      const names = ['a', 'b', 'c', 'a2', 'b2', 'c2'];
      const all = async () => (await Promise.all(names.map((name) => root.stat(at(name))))).map(({ ino }) => ino);
      const before = await all();
      for (const name of ['a', 'b', 'c']) await root.put(at(name), 'changed');
      await remount();
      expect(await all()).toEqual(before);
    },
  },
  {
    name: 'files of every filesystem come up with owner, mode, times, xattrs, holes and links',
    needs: ['many ids'],
    lowers: ['t', 'x', 'e'].map((name) => ({
      [name]: file('content', { uid: 12, gid: 34, mode: 0o4711, mtime: OLD, xattrs: { 'user.x': 'y' } }),
      [`${name}-link`]: hardlink(name),
      [`${name}-s`]: symlink(name),
    })),
    async run({ root, at }) {
      for (const name of ['t', 'x', 'e']) {
        await root.close(await root.open(at(name), O_RDWR));
        await root.chmod(at(`${name}-link`), 0o4755);
        await root.utimens(at(`${name}-s`), OLD, OLD);
      }
    },
    async after({ root, at }) {
      for (const name of ['t', 'x', 'e']) {
        expect(await root.stat(at(name))).toMatchObject({ uid: 12, gid: 34, mode: 0o104755, mtime: OLD, nlink: 2 });
        expect(await root.getxattr(at(name), 'user.x')).toBe('y');
        expect((await root.stat(at(`${name}-link`))).ino).toBe((await root.stat(at(name))).ino);
        expect((await root.stat(at(`${name}-s`))).mtime).toBe(OLD);
      }
    },
  },
  {
    name: 'directories merge over filesystems, are renamed, and hide in each',
    lowers: [{ d: { t: '', same: 't' } }, { d: { x: '', same: 'x' } }, { d: { e: '', same: 'e', sub: { deep: 'f' } } }],
    async run({ root, at, lower }) {
      const before = await Promise.all([0, 1, 2].map((layer) => snapshot(root, lower(layer))));
      await root.unlink(at('d/x'));
      await root.rename(at('d'), at('moved'));
      await root.rename(at('moved/sub'), at('sub'));
      await root.mkdir(at('d'));
      expect(await Promise.all([0, 1, 2].map((layer) => snapshot(root, lower(layer))))).toEqual(before);
    },
    async after({ root, at }) {
      expect(await root.names(at('moved'))).toEqual(['e', 'same', 't']);
      expect(await root.text(at('moved/same'))).toBe('t');
      expect(await root.text(at('sub/deep'))).toBe('f');
      expect(await root.names(at('d'))).toEqual([]);
    },
  },
];

conformance('layers on tmpfs, xfs and ext4', several, {
  lowers: 3,
  mounters: FEW_MOUNTERS,
  filesystems: { lowers: [TMPFS, XFS, EXT4] },
});

/** What every filesystem of an upper must be good for. */
const anyUpper: readonly Row[] = [
  {
    name: 'files are made, removed, renamed over whiteouts and copied up, directories redirected',
    lowers: [{ a: 'a', gone: 'x', d: { e: { f: 'deep' }, g: 'g' }, l: 'l', m: hardlink('l') }],
    async run({ root, at }) {
      await root.unlink(at('gone'));
      await root.put(at('n'), 'new');
      await root.rename(at('a'), at('gone'));
      await root.rename(at('d'), at('D'));
      await root.unlink(at('D/g'));
      await root.mkdir(at('d'));
      await root.put(at('l'), 'linked');
      await root.setxattr(at('n'), 'user.x', 'y');
      await root.utimens(at('n'), OLD, OLD);
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['D', 'd', 'gone', 'l', 'm', 'n']);
      expect(await root.text(at('gone'))).toBe('a');
      expect(await root.text(at('D/e/f'))).toBe('deep');
      expect(await root.names(at('D'))).toEqual(['e']);
      expect(await root.names(at('d'))).toEqual([]);
      expect(await root.text(at('m'))).toBe('linked');
      expect((await root.stat(at('m'))).nlink).toBe(2);
      expect(await root.getxattr(at('n'), 'user.x')).toBe('y');
      expect((await root.stat(at('n'))).mtime).toBe(OLD);
    },
  },
  {
    name: 'a sparse lower file comes up with its holes',
    lowers: [{ d: {} }],
    async run({ root, at, lower, upper, unmounted }) {
      await unmounted(async () => {
        const fd = await root.open(lower(0, 'sparse'), O_RDWR | O_CREAT);
        await root.pwrite(fd, 'middle', 8 * MIB);
        await root.ftruncate(fd, 16 * MIB);
        await root.close(fd);
      });
      const fd = await root.open(at('sparse'), O_WRONLY);
      await root.pwrite(fd, 'start', 0);
      await root.fsync(fd);
      await root.close(fd);
      expect((await root.stat(upper('sparse'))).blocks * 512).toBeLessThan(4 * MIB);
      const copy = await root.open(at('sparse'), O_RDONLY);
      expect((await root.fstat(copy)).size).toBe(16 * MIB);
      expect((await root.pread(copy, 6, 8 * MIB)).toString()).toBe('middle');
      expect((await root.pread(copy, 6, 0)).toString()).toBe('start\0');
    },
  },
  {
    name: 'statfs tells of this filesystem',
    lowers: [{}],
    async run({ root, mountpoint, ground, layers }) {
      const [union, upper] = [await root.statfs(mountpoint), await root.statfs(`${ground.directory}/${layers.upper}`)];
      // Block size and number of blocks.
      for (const field of [8, 16]) expect(union.readBigInt64LE(field)).toBe(upper.readBigInt64LE(field));
    },
  },
];

for (const filesystem of [TMPFS, EXT4, XFS, BTRFS]) {
  conformance(`an upper on ${filesystem.kind}`, anyUpper, {
    mounters: FEW_MOUNTERS,
    filesystems: { upper: filesystem },
  });
}

/** Bytes in use on the filesystem of a path. */
async function used(root: System, path: string): Promise<number> {
  const raw = await root.statfs(path);
  const [blockSize, blocks, free] = [8, 16, 24].map((at) => Number(raw.readBigInt64LE(at)));
  return ((blocks ?? 0) - (free ?? 0)) * (blockSize ?? 0);
}

const LARGE = 24 * MIB;

async function putLarge(root: System, path: string): Promise<void> {
  const fd = await root.open(path, O_RDWR | O_CREAT);
  for (let at = 0; at < LARGE; at += MIB) await root.pwrite(fd, Buffer.alloc(MIB, `${at}-`), at);
  await root.fsync(fd);
  await root.close(fd);
}

const FICLONE = 0x4004_9409;

const reflinks: readonly Row[] = [
  {
    name: 'a copy-up shares the blocks of the lower file',
    lowers: [{ d: {} }],
    async run({ root, at, lower, unmounted, mountpoint }) {
      await unmounted(() => putLarge(root, lower(0, 'large')));
      const before = await used(root, lower(0));
      const fd = await root.open(at('large'), O_RDWR);
      await root.pwrite(fd, 'changed', 5);
      await root.fsync(fd);
      await root.agent.check('int syncfs(int fd)', [await root.open(mountpoint, O_RDONLY)]);
      expect((await used(root, lower(0))) - before).toBeLessThan(8 * MIB);
      expect((await root.pread(fd, 4, 5 * MIB)).toString()).toBe(`${5 * MIB}-`.slice(0, 4));
    },
  },
  {
    name: 'copy_file_range in the mount shares blocks',
    lowers: [{ d: {} }],
    async run({ root, at, lower, unmounted, mountpoint }) {
      await unmounted(() => putLarge(root, lower(0, 'large')));
      const before = await used(root, lower(0));
      const from = await root.open(at('large'), O_RDONLY);
      const to = await root.open(at('copy'), O_RDWR | O_CREAT);
      let copied = 0;
      for (let part = 1; part > 0; copied += part) part = await root.copyFileRange(from, to, LARGE);
      expect(copied).toBe(LARGE);
      await root.fsync(to);
      await root.agent.check('int syncfs(int fd)', [await root.open(mountpoint, O_RDONLY)]);
      expect((await used(root, lower(0))) - before).toBeLessThan(8 * MIB);
    },
  },
  {
    name: 'FICLONE clones a file of the mount',
    differs: { lamina: 'the kernel’s FUSE has no clone of files: EOPNOTSUPP, and cp falls back to copy_file_range' },
    lowers: [{ a: 'x'.repeat(65_536) }],
    async run({ root, at }) {
      const from = await root.open(at('a'), O_RDONLY);
      const to = await root.open(at('b'), O_RDWR | O_CREAT);
      await root.agent.check('int ioctl(int fd, unsigned long request, int from)', [to, FICLONE, from]);
      expect(await root.text(at('b'))).toBe('x'.repeat(65_536));
    },
  },
];

for (const all of [XFS, BTRFS])
  conformance(`all layers on ${all.kind}`, reflinks, { mounters: FEW_MOUNTERS, filesystems: { all } });

const MANY = 48;

const marks: readonly Row[] = [
  {
    name: 'metacopies on ext4, whose inodes have no room for all their marks, share the block of what is the same in all',
    lowers: [Object.fromEntries(Array.from({ length: MANY }, (_, at) => [`f${at}`, 'x']))],
    async run({ root, at, upper, ground, layers }) {
      const path = `${ground.directory}/${layers.upper}`;
      const before = await used(root, path);
      for (const name of await root.names(at())) await root.utimens(at(name), OLD, OLD);
      expect((await used(root, path)) - before).toBeLessThan((MANY / 4) * 1024);
      expect((await root.stat(upper('f0'))).mtime).toBe(OLD);
    },
  },
];

conformance('metacopies', marks, {
  mounters: FEW_MOUNTERS,
  options: { lamina: ['metacopy=on'] },
  filesystems: { upper: { kind: 'ext4', mebibytes: 32, make: ['-m', '0', '-I', '256', '-b', '1024'] } },
});

const SMALL: Filesystem = { kind: 'ext4', mebibytes: 12, make: ['-m', '0'] };

/** Leaves no block free below the mount; answers what to remove to have some again. */
async function fillUp(root: System, path: string): Promise<void> {
  const fd = await root.open(path, O_RDWR | O_CREAT);
  for (const size of [MIB, 65_536, 4096, 512]) {
    let outcome = 'none';
    while (outcome === 'none') outcome = await errnoOf(root.write(fd, Buffer.alloc(size, 'f')));
    expect(outcome).toBe('ENOSPC');
  }
  await root.close(fd);
}

const full: readonly Row[] = [
  {
    name: 'on a full disk a copy-up is ENOSPC and leaves the lower file and nothing else, removals go on, and all is well after',
    lowers: [{ big: file('x'.repeat(3 * MIB), { mode: 0o644 }), gone: 'g', d: { a: 'a' } }],
    async run({ root, at, upper, ground, layers }) {
      await root.put(at('mine'), 'm');
      await fillUp(root, at('filler'));
      expect(await errnoOf(root.put(at('big'), 'x', O_RDWR))).toBe('ENOSPC');
      expect(await root.exists(upper('big'))).toBe(false);
      expect((await root.contents(at('big'))).length).toBe(3 * MIB);
      const left = await root.names(`${ground.directory}/${layers.work}/work`);
      expect(left.filter((name) => !name.startsWith('#'))).toEqual([]);
      const fd = await root.open(at('mine'), O_RDWR);
      expect(await errnoOf(root.pwrite(fd, Buffer.alloc(MIB, 'y'), MIB))).toBe('ENOSPC');
      await root.close(fd);
      expect(await root.names(at())).toEqual(['big', 'd', 'filler', 'gone', 'mine']);
      await root.unlink(at('filler'));
      await root.unlink(at('gone'));
      // The kernel tells a daemon that a removed file is not used any more (FORGET) after it has answered the removal: the
      // space comes free a moment later.
      let outcome = 'ENOSPC';
      while (outcome === 'ENOSPC')
        outcome = await errnoOf(root.chmod(at('big'), 0o600).then(() => root.put(at('big'), 'yes', O_RDWR)));
      expect(outcome).toBe('none');
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['big', 'd', 'mine']);
      expect((await root.text(at('big'))).slice(0, 5)).toBe('yesxx');
    },
  },
];

conformance('a small upper', full, { mounters: FEW_MOUNTERS, filesystems: { upper: SMALL } });

const readOnly: readonly Row[] = [
  {
    name: 'an upper whose filesystem becomes read-only: every change is EROFS, reads go on, and so do changes once it is writable',
    lowers: [{ low: 'low', d: { x: 'x' } }],
    upper: { up: 'up' },
    async run({ root, at, ground }) {
      await root.put(at('made'), 'made');
      // The kernel does not tell a daemon that a file is closed which it has opened without asking.
      const remount = () => ground.asMachine(['mount', '-o', 'remount,ro', `${ground.directory}/up`]);
      await expect.poll(() => remount().then(() => '', String), { timeout: 5000 }).toBe('');
      try {
        for (const call of [
          () => root.put(at('new'), 'x'),
          () => root.put(at('up'), 'x'),
          () => root.put(at('low'), 'x', O_RDWR),
          () => root.chmod(at('low'), 0o600),
          () => root.unlink(at('low')),
          () => root.unlink(at('made')),
          () => root.rename(at('d'), at('e')),
          () => root.mkdir(at('n')),
          () => root.symlink('x', at('s')),
          () => root.link(at('made'), at('l')),
          () => root.setxattr(at('up'), 'user.x', 'y'),
          () => root.truncate(at('made'), 0),
        ])
          expect([String(call), await errnoOf(call())]).toEqual([String(call), 'EROFS']);
        expect(await root.names(at())).toEqual(['d', 'low', 'made', 'up']);
        for (const name of ['low', 'up', 'made']) expect(await root.text(at(name))).toBe(name);
      } finally {
        await ground.asMachine(['mount', '-o', 'remount,rw', `${ground.directory}/up`]);
      }
      await root.put(at('low'), 'changed');
      await root.rename(at('d'), at('e'));
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(['e', 'low', 'made', 'up']);
      expect(await root.text(at('low'))).toBe('changed');
    },
  },
];

conformance('an upper that is remounted read-only', readOnly, { mounters: FEW_MOUNTERS, filesystems: { upper: EXT4 } });

const FS_IOC_FSGETXATTR = 0x801c_581f;
const FS_IOC_FSSETXATTR = 0x401c_5820;
const PROJECT_INHERIT = 0x200;
/** `fsx_projid` of `struct fsxattr`. */
const PROJECT = 12;

async function projectOf(root: System, path: string): Promise<number> {
  const fd = await root.open(path, O_RDONLY);
  const project = (await root.ioctl(fd, FS_IOC_FSGETXATTR)).readUInt32LE(PROJECT);
  await root.close(fd);
  return project;
}

async function setProject(root: System, path: string, project: number, flags: number): Promise<void> {
  const fd = await root.open(path, O_RDONLY);
  const current = await root.ioctl(fd, FS_IOC_FSGETXATTR);
  current.writeUInt32LE((current.readUInt32LE(0) | flags) >>> 0, 0);
  current.writeUInt32LE(project, PROJECT);
  await root.ioctl(fd, FS_IOC_FSSETXATTR, current.subarray(0, 28));
  await root.close(fd);
}

const projects: readonly Row[] = [
  {
    name: 'project ids are set on lower and upper files and directories, inherited, and kept over a remount',
    differs: {
      'user namespace': 'project ids belong to the machine: no user namespace sets them',
    },
    lowers: [{ low: 'x', d: directory({ old: '' }) }],
    async run({ root, at }) {
      await setProject(root, at('low'), 42, 0);
      await setProject(root, at('d'), 43, PROJECT_INHERIT);
      await root.put(at('d/new'), 'x');
      await root.mkdir(at('d/sub'));
      await root.put(at('d/sub/deep'), 'x');
      expect(await projectOf(root, at('d/new'))).toBe(43);
    },
    async after({ root, at }) {
      expect(await projectOf(root, at('low'))).toBe(42);
      for (const name of ['d', 'd/new', 'd/sub', 'd/sub/deep'])
        expect([name, await projectOf(root, at(name))]).toEqual([name, 43]);
      expect(await projectOf(root, at('d/old'))).toBe(0);
    },
  },
];

conformance('project ids', projects, {
  mounters: FEW_MOUNTERS,
  filesystems: { upper: { kind: 'ext4', mebibytes: 32, make: ['-m', '0', '-O', 'quota,project'] } },
});
