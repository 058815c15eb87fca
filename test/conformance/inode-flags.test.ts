import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { LIMITS } from '../../fs/libfuse/limits.ts';
import { type Path, type System } from '../support/system.ts';
import { file } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

// What lsattr and chattr ask for (linux/fs.h).

const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_IOC_FSGETXATTR = 0x801c_581f;
const FS_IOC_FSSETXATTR = 0x401c_5820;
const FS_IMMUTABLE = 0x10;
const FS_APPEND = 0x20;
const FS_NODUMP = 0x40;
const FS_NOATIME = 0x80;
const SETTABLE = FS_IMMUTABLE | FS_APPEND | FS_NODUMP | FS_NOATIME;
const FS_XFLAG_APPEND = 0x10;
const FS_XFLAG_NODUMP = 0x80;

/** In which overlayfs keeps what `chattr +i` and `+a` forbid. */
const PROTATTR = 'trusted.overlay.protattr';
const RENAME_EXCHANGE = 2;

const PAGE = 4096;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_APPEND = 0o2000;
const O_TRUNC = 0o1000;

async function getFlags(root: System, path: Path): Promise<number> {
  const fd = await root.open(path, O_RDONLY);
  const flags = (await root.ioctl(fd, FS_IOC_GETFLAGS)).readUInt32LE(0);
  await root.close(fd);
  return flags & SETTABLE;
}

async function setFlags(root: System, path: Path, flags: number): Promise<void> {
  const fd = await root.open(path, O_RDONLY);
  try {
    const current = await root.ioctl(fd, FS_IOC_GETFLAGS);
    current.writeUInt32LE(((current.readUInt32LE(0) & ~SETTABLE) | flags) >>> 0, 0);
    await root.ioctl(fd, FS_IOC_SETFLAGS, current.subarray(0, 4));
  } finally {
    await root.close(fd);
  }
}

/** `fsx_xflags` of `struct fsxattr`. */
async function getXflags(root: System, path: Path): Promise<number> {
  const fd = await root.open(path, O_RDONLY);
  const xflags = (await root.ioctl(fd, FS_IOC_FSGETXATTR)).readUInt32LE(0);
  await root.close(fd);
  return xflags & (FS_XFLAG_APPEND | FS_XFLAG_NODUMP);
}

async function setXflags(root: System, path: Path, xflags: number): Promise<void> {
  const fd = await root.open(path, O_RDONLY);
  const current = await root.ioctl(fd, FS_IOC_FSGETXATTR);
  current.writeUInt32LE(xflags, 0);
  await root.ioctl(fd, FS_IOC_FSSETXATTR, current.subarray(0, 28));
  await root.close(fd);
}

/** Takes the flags off, so that what was made can be removed. */
async function freely(root: System, paths: readonly Path[], action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } finally {
    for (const path of paths) if (await root.exists(path)) await setFlags(root, path, 0);
  }
}

const UNPRIVILEGED = {
  'user namespace': 'to set immutable and append-only takes CAP_LINUX_IMMUTABLE on the machine',
} as const;

const flags: readonly Row[] = [
  {
    name: 'flags are set on upper, lower and new files and directories, and stay over a remount',
    lowers: [{ low: 'x', dir: {} }],
    upper: { up: 'y' },
    async run({ root, at, lower }) {
      await root.put(at('new'), 'z');
      for (const name of ['low', 'dir', 'up', 'new']) {
        await setFlags(root, at(name), FS_NODUMP | FS_NOATIME);
        expect([name, await getFlags(root, at(name))]).toEqual([name, FS_NODUMP | FS_NOATIME]);
        await setFlags(root, at(name), FS_NODUMP);
      }
      expect(await getFlags(root, lower(0, 'low'))).toBe(0);
    },
    async after({ root, at }) {
      for (const name of ['low', 'dir', 'up', 'new'])
        expect([name, await getFlags(root, at(name))]).toEqual([name, FS_NODUMP]);
      expect(await root.text(at('low'))).toBe('x');
    },
  },
  {
    name: 'flags by FS_IOC_FSSETXATTR, as xfs_io sets them, are those that lsattr shows',
    lowers: [{ low: 'x', dir: {} }],
    async run({ root, at }) {
      for (const name of ['low', 'dir']) {
        await setXflags(root, at(name), FS_XFLAG_NODUMP);
        expect(await getXflags(root, at(name))).toBe(FS_XFLAG_NODUMP);
        expect(await getFlags(root, at(name))).toBe(FS_NODUMP);
      }
    },
  },
  {
    name: 'lsattr and chattr say and do what the calls do',
    lowers: [{ low: 'x', dir: {} }],
    async run({ root, at, ground }) {
      await ground.must(['chattr', '+dA', at('low'), at('dir')]);
      expect(await ground.must(['lsattr', '-d', at('dir'), at('low')])).toMatch(/^-*d?-*A-*d?.* .*dir\n/);
      for (const name of ['low', 'dir']) expect(await getFlags(root, at(name))).toBe(FS_NODUMP | FS_NOATIME);
    },
  },
  {
    name: 'flags are set on a file of which only metadata was copied up, and not on the lower one',
    lowers: [{ a: 'x' }],
    async run({ root, at, lower }) {
      await root.chmod(at('a'), 0o600);
      await setFlags(root, at('a'), FS_NODUMP);
      expect(await getFlags(root, at('a'))).toBe(FS_NODUMP);
      expect(await getFlags(root, lower(0, 'a'))).toBe(0);
    },
    async after({ root, at }) {
      expect(await getFlags(root, at('a'))).toBe(FS_NODUMP);
      expect(await root.text(at('a'))).toBe('x');
    },
  },
  {
    name: 'flags of a lower file are told, and kept by its copy-up as far as overlayfs keeps them',
    lowers: [{ a: 'x' }],
    async run({ root, at, lower, unmounted }) {
      await unmounted(() => setFlags(root, lower(0, 'a'), FS_NOATIME));
      expect(await getFlags(root, at('a'))).toBe(FS_NOATIME);
      await root.put(at('a'), 'y');
      expect(await getFlags(root, at('a'))).toBe(FS_NOATIME);
    },
    async after({ root, at }) {
      expect(await getFlags(root, at('a'))).toBe(FS_NOATIME);
    },
  },
  {
    name: 'a change of flags shows in the ctime at once',
    lowers: [{ low: 'x' }],
    async run({ root, at }) {
      await root.put(at('new'), 'x');
      for (const name of ['low', 'new']) {
        const before = (await root.stat(at(name))).ctime;
        await setFlags(root, at(name), FS_NODUMP);
        expect((await root.stat(at(name))).ctime).toBeGreaterThan(before);
      }
    },
  },
];

/** Everything that an immutable file refuses. */
function changesOf(root: System, path: Path): Readonly<Record<string, () => Promise<unknown>>> {
  return {
    'open for writing': () => root.open(path, O_RDWR),
    'open for appending': () => root.open(path, O_WRONLY | O_APPEND),
    truncate: () => root.truncate(path, 0),
    'O_TRUNC on a read-only open': () => root.open(path, O_RDONLY | O_TRUNC),
    chmod: () => root.chmod(path, 0o600),
    chown: () => root.chown(path, 0, 0),
    utimens: () => root.utimens(path, 1n, 1n),
    setxattr: () => root.setxattr(path, 'user.y', 'z'),
    removexattr: () => root.removexattr(path, 'user.x'),
    link: () => root.link(path, `${path}-2`),
    rename: () => root.rename(path, `${path}-2`),
    unlink: () => root.unlink(path),
  };
}

async function refusedWith(changes: Readonly<Record<string, () => Promise<unknown>>>): Promise<Record<string, string>> {
  const outcomes: Record<string, string> = {};
  for (const [name, change] of Object.entries(changes)) outcomes[name] = await errnoOf(change());
  return outcomes;
}

const NO_ERROR = 'none';

const protection: readonly Row[] = [
  {
    name: 'an immutable file, of upper or lower, refuses every change with EPERM, over a remount too',
    differs: UNPRIVILEGED,
    lowers: [{ low: file('x', { xattrs: { 'user.x': 'y' } }) }],
    upper: { up: file('x', { xattrs: { 'user.x': 'y' } }) },
    async run({ root, at, remount, upper }) {
      await freely(root, [at('low'), at('up'), upper('low'), upper('up')], async () => {
        for (const name of ['low', 'up']) await setFlags(root, at(name), FS_IMMUTABLE);
        await remount();
        for (const name of ['low', 'up']) {
          expect(await getFlags(root, at(name))).toBe(FS_IMMUTABLE);
          const outcomes = await refusedWith(changesOf(root, at(name)));
          expect([name, new Set(Object.values(outcomes))]).toEqual([name, new Set(['EPERM'])]);
          expect(await root.text(at(name))).toBe('x');
        }
      });
      expect(await errnoOf(root.put(at('low'), 'free again'))).toBe(NO_ERROR);
    },
  },
  {
    name: 'what was written through a mapping is kept when the file is made immutable or append-only',
    differs: UNPRIVILEGED,
    lowers: [{ immutable: 'xxxx', append: 'xxxx' }],
    async run({ root, at, remount, upper }) {
      const protections = { immutable: FS_IMMUTABLE, append: FS_APPEND };
      const paths = Object.keys(protections).flatMap((name) => [at(name), upper(name)]);
      await freely(root, paths, async () => {
        for (const [name, protection] of Object.entries(protections)) {
          const fd = await root.open(at(name), O_RDWR);
          const address = await root.mmap(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
          await root.poke(address, 'done');
          await setFlags(root, at(name), protection);
          await root.msync(address, PAGE);
          await root.munmap(address, PAGE);
          await root.close(fd);
        }
        await remount();
        for (const name of Object.keys(protections)) expect(await root.text(at(name))).toBe('done');
      });
    },
  },
  {
    name: 'no range is copied into a file that became immutable since it was opened: EPERM',
    differs: {
      ...UNPRIVILEGED,
      'fuse-native':
        'libfuse 2.9 has no copy_file_range, and the kernel then writes: an open file can be written still',
    },
    lowers: [{ from: 'content', low: 'x' }],
    upper: { up: 'x' },
    async run({ root, at, upper }) {
      await freely(root, [at('low'), at('up'), upper('low'), upper('up')], async () => {
        const from = await root.open(at('from'), O_RDONLY);
        for (const name of ['low', 'up']) {
          const to = await root.open(at(name), O_RDWR);
          await setFlags(root, at(name), FS_IMMUTABLE);
          expect(await errnoOf(root.copyFileRange(from, to, 7))).toBe('EPERM');
          expect(await root.text(at(name))).toBe('x');
          await root.close(to);
        }
        await root.close(from);
      });
    },
  },
  {
    name: 'a file that is immutable in its lower layer is copied up by nothing: EPERM',
    differs: UNPRIVILEGED,
    lowers: [{ low: file('x', { xattrs: { 'user.x': 'y' } }), d: {} }],
    async run({ root, at, lower, unmounted }) {
      await freely(root, [lower(0, 'low')], async () => {
        await unmounted(() => setFlags(root, lower(0, 'low'), FS_IMMUTABLE));
        expect(await getFlags(root, at('low'))).toBe(FS_IMMUTABLE);
        const outcomes = await refusedWith(changesOf(root, at('low')));
        expect(outcomes).toEqual(Object.fromEntries(Object.keys(outcomes).map((name) => [name, 'EPERM'])));
      });
    },
  },
  {
    name: 'an append-only file is appended to, and refuses all else with EPERM',
    differs: UNPRIVILEGED,
    lowers: [{ low: file('x', { xattrs: { 'user.x': 'y' } }) }],
    async run({ root, at, remount, upper }) {
      await freely(root, [at('low'), upper('low')], async () => {
        await setFlags(root, at('low'), FS_APPEND);
        await remount();
        const { 'open for appending': appended, ...others } = await refusedWith(changesOf(root, at('low')));
        expect(appended).toBe(NO_ERROR);
        expect(new Set(Object.values(others))).toEqual(new Set(['EPERM']));
        const fd = await root.open(at('low'), O_WRONLY | O_APPEND);
        await root.write(fd, 'y');
        expect(await root.text(at('low'))).toBe('xy');
      });
    },
  },
  {
    name: 'a file that is append-only in its lower layer is appended to, and stays append-only',
    differs: UNPRIVILEGED,
    lowers: [{ low: file('x', { xattrs: { 'user.x': 'y' } }) }],
    async run({ root, at, lower, upper, unmounted }) {
      await freely(root, [lower(0, 'low'), at('low'), upper('low')], async () => {
        await unmounted(() => setFlags(root, lower(0, 'low'), FS_APPEND));
        const { 'open for appending': appended, ...others } = await refusedWith(changesOf(root, at('low')));
        expect(appended).toBe(NO_ERROR);
        expect(new Set(Object.values(others))).toEqual(new Set(['EPERM']));
        const fd = await root.open(at('low'), O_WRONLY | O_APPEND);
        await root.write(fd, 'y');
        await root.close(fd);
        expect(await root.text(at('low'))).toBe('xy');
        expect(await errnoOf(root.open(at('low'), O_WRONLY))).toBe('EPERM');
      });
    },
  },
  {
    name: 'an immutable directory, lower or upper, refuses that names come and go, and its files are changed still',
    differs: UNPRIVILEGED,
    lowers: [{ d: { a: 'x' } }],
    async run({ root, at, remount, upper }) {
      await root.mkdir(at('n'));
      await root.put(at('n/a'), 'x');
      await freely(root, [at('d'), at('n'), upper('d'), upper('n')], async () => {
        for (const name of ['d', 'n']) await setFlags(root, at(name), FS_IMMUTABLE);
        await remount();
        for (const name of ['d', 'n']) {
          const outcomes = await refusedWith({
            create: () => root.put(at(`${name}/new`), ''),
            mkdir: () => root.mkdir(at(`${name}/new`)),
            unlink: () => root.unlink(at(`${name}/a`)),
            'rename within': () => root.rename(at(`${name}/a`), at(`${name}/b`)),
            'rename away': () => root.rename(at(`${name}/a`), at('away')),
            'rename of itself': () => root.rename(at(name), at('away')),
            'chmod of itself': () => root.chmod(at(name), 0o700),
          });
          expect([name, new Set(Object.values(outcomes))]).toEqual([name, new Set(['EPERM'])]);
          expect(await root.names(at(name))).toEqual(['a']);
        }
        await root.put(at('n/a'), 'changed', O_WRONLY);
        expect(await root.text(at('n/a'))).toBe('changed');
      });
    },
  },
  {
    name: 'what protects a lower file or directory is kept by its copy-up as a mark, which takes its place in the upper',
    differs: UNPRIVILEGED,
    lowers: [{ f: 'x', d: { a: 'x', sub: {} } }],
    async run({ root, at, lower, upper, unmounted, remount }) {
      const protections = { f: FS_APPEND, d: FS_IMMUTABLE } as const;
      const paths = Object.keys(protections).flatMap((name) => [lower(0, name), at(name)]);
      await freely(root, paths, async () => {
        await unmounted(async () => {
          for (const [name, flag] of Object.entries(protections)) await setFlags(root, lower(0, name), flag);
        });
        const fd = await root.open(at('f'), O_WRONLY | O_APPEND);
        await root.write(fd, 'y');
        await root.close(fd);
        await root.put(at('d/a'), 'changed', O_WRONLY);
        await root.put(at('d/sub/new'), 'new');
        await remount();
        for (const [name, flag] of Object.entries(protections)) {
          expect([name, await getFlags(root, upper(name))]).toEqual([name, 0]);
          expect([name, await getFlags(root, at(name))]).toEqual([name, flag]);
          expect(await root.getxattr(upper(name), PROTATTR)).toBe(name === 'f' ? 'a' : 'i');
        }
        expect(await root.text(at('d/a'))).toBe('changed');
        const outcomes = await refusedWith({
          create: () => root.put(at('d/new'), ''),
          unlink: () => root.unlink(at('d/a')),
          rmdir: () => root.rmdir(at('d/sub')),
          truncate: () => root.truncate(at('f'), 0),
          'unlink of itself': () => root.unlink(at('f')),
        });
        expect(new Set(Object.values(outcomes))).toEqual(new Set(['EPERM']));
      });
      expect(await errnoOf(root.getxattr(upper('f'), PROTATTR))).toBe('ENODATA');
      await root.put(at('d/new'), '');
      await root.unlink(at('f'));
    },
  },
  {
    name: 'a mark of another mount protects a file, unless something in it is not known',
    differs: UNPRIVILEGED,
    lowers: [{}],
    upper: { i: 'x', a: 'x', ai: 'x', 'a?i': 'x', '?a': 'x' },
    async run({ root, at, upper, unmounted }) {
      const shown = { i: FS_IMMUTABLE, a: FS_APPEND, ai: FS_APPEND | FS_IMMUTABLE, 'a?i': 0, '?a': 0 } as const;
      await unmounted(async () => {
        for (const name of Object.keys(shown)) await root.setxattr(upper(name), PROTATTR, name);
      });
      for (const [name, flag] of Object.entries(shown)) {
        expect([name, await getFlags(root, at(name))]).toEqual([name, flag]);
        expect([name, await errnoOf(root.chmod(at(name), 0o600))]).toEqual([name, flag === 0 ? NO_ERROR : 'EPERM']);
        await setFlags(root, at(name), 0);
        await root.unlink(at(name));
      }
    },
  },
  {
    name: 'a flag that the upper filesystem itself keeps protects a file, and gives way to a mark',
    differs: {
      ...UNPRIVILEGED,
      kernel: 'EPERM: it changes its mark while the file is immutable still',
    },
    lowers: [{}],
    upper: { own: 'x' },
    async run({ root, at, upper, unmounted }) {
      await freely(root, [at('own'), upper('own')], async () => {
        await unmounted(() => setFlags(root, upper('own'), FS_IMMUTABLE));
        expect(await errnoOf(root.unlink(at('own')))).toBe('EPERM');
        await setFlags(root, at('own'), FS_APPEND);
        expect(await getFlags(root, upper('own'))).toBe(0);
        expect(await root.getxattr(upper('own'), PROTATTR)).toBe('a');
        expect(await errnoOf(root.open(at('own'), O_WRONLY | O_APPEND))).toBe(NO_ERROR);
      });
      expect(await errnoOf(root.unlink(at('own')))).toBe(NO_ERROR);
    },
  },
  {
    name: 'both names of an exchange stay where a file or directory is protected',
    differs: { ...UNPRIVILEGED, 'fuse-native': LIMITS.renameFlags },
    lowers: [{ d: { a: 'x' }, free: { a: 'x' }, f: 'x', g: 'x' }],
    async run({ root, at }) {
      await freely(root, [at('d'), at('f')], async () => {
        for (const name of ['d', 'f']) await setFlags(root, at(name), FS_APPEND);
        for (const [from, to] of [
          ['d/a', 'free/a'],
          ['g', 'f'],
        ] as const) {
          expect([from, await errnoOf(root.rename(at(from), at(to), RENAME_EXCHANGE))]).toEqual([from, 'EPERM']);
        }
      });
    },
  },
  {
    name: 'a name is not linked from, nor replaced in the place of, what is protected, and an append-only directory takes more',
    differs: UNPRIVILEGED,
    lowers: [{ d: { a: 'x' }, f: 'x', g: 'x' }],
    async run({ root, at }) {
      await freely(root, [at('d'), at('f')], async () => {
        for (const name of ['d', 'f']) await setFlags(root, at(name), FS_APPEND);
        const outcomes = await refusedWith({
          'rename over an append-only file': () => root.rename(at('g'), at('f')),
          'rename over a name in an append-only directory': () => root.rename(at('g'), at('d/a')),
          'link of an append-only file': () => root.link(at('f'), at('h')),
        });
        expect(new Set(Object.values(outcomes))).toEqual(new Set(['EPERM']));
        expect(await errnoOf(root.rename(at('g'), at('d/new')))).toBe(NO_ERROR);
        expect(await errnoOf(root.put(at('d/newer'), 'x'))).toBe(NO_ERROR);
      });
    },
  },
  {
    name: 'a full directory in an append-only or immutable one: its removal is EPERM, not ENOTEMPTY',
    differs: UNPRIVILEGED,
    lowers: [{ d: { full: { a: 'x' } } }],
    async run({ root, at, upper }) {
      await root.put(at('d/other'), 'x');
      for (const name of ['n', 'n/full']) await root.mkdir(at(name));
      await root.put(at('n/full/a'), 'x');
      for (const flag of [FS_APPEND, FS_IMMUTABLE]) {
        await freely(root, [at('d'), at('n'), upper('d'), upper('n')], async () => {
          for (const name of ['d', 'n']) {
            await setFlags(root, at(name), flag);
            expect([name, await errnoOf(root.rmdir(at(`${name}/full`)))]).toEqual([name, 'EPERM']);
          }
        });
      }
      expect(await errnoOf(root.rmdir(at('d/full')))).toBe('ENOTEMPTY');
    },
  },
];

conformance('inode flags', [...flags, ...protection]);
