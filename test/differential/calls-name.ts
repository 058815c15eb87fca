import { emptying } from './emptying.ts';
import { cstring, libcCalls as libc } from './libc.ts';
import { describe, given, statusOf } from './status.ts';
import { linking } from './linking.ts';
import { summary, type World } from './world.ts';
import { text, timespecs } from './text.ts';

const AT_FDCWD = -100;
const NOFOLLOW = 0x100;
const FOLLOW = 0x400;
const REMOVEDIR = 0x200;
const O_RDWR = 2;
const O_TMPFILE = 0o20000000 | (process.arch === 'arm64' ? 0o40000 : 0o200000);
const S_IFMT = 0o170000;
const S_IFLNK = 0o120000;
const S_IFREG = 0o100000;
const CAPACITY = 4_096;

const buffer = Buffer.alloc(65_536);

/** A path, made to name what a slot holds: linkat(2) and others follow it. */
function descriptor(fd: number): Buffer {
  return cstring(`/proc/self/fd/${fd}`);
}

function listed(length: number): string {
  const names = buffer.toString('latin1', 0, length).split('\0');
  return names.filter(Boolean).sort().join(' ');
}

/** An ACL as the kernel has it in `system.posix_acl_*` (linux/posix_acl_xattr.h): `user:1000:7` has its id, others none. */
function acl(spec: string): Buffer {
  const tags: Readonly<Record<string, number>> = { owner: 1, user: 2, group: 4, named: 8, mask: 16, others: 32 };
  const entries = spec.split(',').map((entry) => entry.split(':'));
  const raw = Buffer.alloc(4 + 8 * entries.length);
  raw.writeUInt32LE(2, 0);
  entries.forEach(([tag = '', permissions, id], index) => {
    raw.writeUInt16LE(tags[tag] ?? 0, 4 + 8 * index);
    raw.writeUInt16LE(Number(permissions), 6 + 8 * index);
    raw.writeUInt32LE(id === undefined ? 0xffffffff : Number(id), 8 + 8 * index);
  });
  return raw;
}

function parentOf(path: string): string {
  return path.split('/').slice(0, -1).join('/');
}

function setxattr(world: World, path: string, name: string, value: Buffer, flags = 0): void {
  libc.setxattr(world.at(path), cstring(name), value, value.length, flags);
}

/** Calls that name files and do not open them for longer than themselves. */
export const NAME_CALLS = {
  umask(world: World, mask: number) {
    world.mask = mask;
    libc.umask(mask);
  },
  mkdir: (world: World, path: string, mode: number) => void libc.mkdir(world.at(path), mode),
  mknod: (world: World, path: string, mode: number, device: number) =>
    void libc.mknod(AT_FDCWD, world.at(path), mode, device),
  symlink: (world: World, target: string, path: string) => void libc.symlink(cstring(target), world.at(path)),
  link: (world: World, from: string, to: string, flags: number) =>
    linking(world, world.at(from), () => libc.linkat(AT_FDCWD, world.at(from), AT_FDCWD, world.at(to), flags)),
  rename: (world: World, from: string, to: string, flags: number) =>
    emptying(world, to, () => libc.renameat2(AT_FDCWD, world.at(from), AT_FDCWD, world.at(to), flags)),
  unlink: (world: World, path: string) => void libc.unlinkat(AT_FDCWD, world.at(path), 0),
  rmdir: (world: World, path: string) =>
    emptying(world, path, () => libc.unlinkat(AT_FDCWD, world.at(path), REMOVEDIR)),
  tmpfile: (world: World, directory: string, to: string, letter: string, length: number, mode: number) => {
    const fd = libc.open(world.at(directory), O_TMPFILE | O_RDWR, mode);
    try {
      const content = text(letter, length);
      libc.write(fd, content, content.length);
      libc.linkat(AT_FDCWD, descriptor(fd), AT_FDCWD, world.at(to), FOLLOW);
    } finally {
      libc.close(fd);
    }
  },
  linkHeld: (world: World, slot: number, to: string) =>
    linking(world, descriptor(world.holding(slot).fd), () =>
      libc.linkat(AT_FDCWD, descriptor(world.holding(slot).fd), AT_FDCWD, world.at(to), FOLLOW),
    ),

  chmod: (world: World, path: string, mode: number) => void libc.chmod(world.at(path), mode),
  chown: (world: World, path: string, uid: number, gid: number) =>
    void libc.fchownat(AT_FDCWD, world.at(path), uid >>> 0, gid >>> 0, NOFOLLOW),
  utimens(world: World, path: string, atime: string, mtime: string) {
    libc.utimensat(AT_FDCWD, world.at(path), timespecs(atime, mtime), NOFOLLOW);
    const status = statusOf(world.at(path));
    // A symlink may have been followed on the way to itself. Else whether a read before has changed an atime depends on how
    // the union is mounted.
    const isRead = atime === 'omit' || (status.mode & S_IFMT) === S_IFLNK;
    return `${isRead ? '' : given(status.atime)} ${given(status.mtime)}`;
  },
  truncate: (world: World, path: string, length: number) => void libc.truncate(world.at(path), length),

  setxattr: (world: World, path: string, name: string, letter: string, length: number, flags: number) =>
    setxattr(world, path, name, text(letter, length), flags),
  setacl: (world: World, path: string, kind: string, spec: string) =>
    setxattr(world, path, `system.posix_acl_${kind}`, acl(spec)),
  removexattr(world: World, path: string, name: string) {
    libc.removexattr(world.at(path), cstring(name));
    return name.startsWith('system.posix_acl_') ? statusOf(world.at(path)).mode.toString(8) : undefined;
  },
  getxattr: (world: World, path: string, name: string, size: number) =>
    summary(buffer.subarray(0, Math.min(size, libc.getxattr(world.at(path), cstring(name), buffer, size)))),
  listxattr: (world: World, path: string) => listed(libc.listxattr(world.at(path), buffer, buffer.length)),

  markOpaque: (world: World, path: string, how: string) =>
    setxattr(world, path, `${world.marks}opaque`, Buffer.from(how, 'latin1')),
  /** A whiteout by xattr: an empty file, in a directory that says that it has such. Overlayfs cannot remove that. */
  xattrWhiteout(world: World, path: string) {
    libc.mknod(AT_FDCWD, world.at(path), S_IFREG, 0);
    setxattr(world, path, `${world.marks}whiteout`, Buffer.from('y'));
    setxattr(world, parentOf(path), `${world.marks}opaque`, Buffer.from('x'));
  },

  stat: (world: World, path: string) => describe(statusOf(world.at(path))),
  readlink: (world: World, path: string) =>
    buffer.toString('latin1', 0, libc.readlink(world.at(path), buffer, CAPACITY)),
  access: (world: World, path: string, mode: number) => void libc.access(world.at(path), mode),
};
