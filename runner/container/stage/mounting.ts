import { readFileSync, readlinkSync } from 'node:fs';
import { Attr } from '../../../fs/sys/attr.ts';
import { type ByteString } from '../../../fs/sys/bytes.ts';
import {
  MS_BIND,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_REMOUNT,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_PATH,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  S_IFCHR,
  S_IFMT,
} from '../../../fs/sys/constants.ts';
import { ENOSYS, check } from '../../../fs/sys/errno.ts';
import { STATFS, close, fstat, fstatfs, openat, openat2 } from '../../../fs/sys/file.ts';
import { Memory } from '../../../fs/sys/memory.ts';
import { MOUNT_ATTR, mountSetattr } from '../../../fs/sys/mount-attributes.ts';
import { mount } from '../../../fs/sys/mount.ts';
import { throughFd } from './inside.ts';

export const PROC_SUPER_MAGIC = 0x9fa0;
export const TMPFS_MAGIC = 0x01021994;
export const CGROUP2_SUPER_MAGIC = 0x63677270;
export const DEVPTS_SUPER_MAGIC = 0x1cd1;

// linux/magic.h and the filesystems' own sources: what is made up by the kernel as it is read or written.
const KERNEL_FILESYSTEMS: ReadonlySet<number> = new Set([
  PROC_SUPER_MAGIC,
  CGROUP2_SUPER_MAGIC,
  0x62656572, // sysfs
  0x27e0eb, // cgroup
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0x62656570, // configfs
  0xcafe4a11, // bpf
  0x6165676c, // pstore
  0xde5e81e4, // efivarfs
  0xf97cff8c, // selinuxfs
  0x43415d53, // smackfs
  0x65735543, // fusectl
  0x42494e4d, // binfmt_misc
  0x19800202, // mqueue
  DEVPTS_SUPER_MAGIC,
]);

const statfs = new Memory(STATFS.sizeof);

/** Magic number of the filesystem that `fd` lies on. */
export function filesystemMagic(fd: number): number {
  check(fstatfs(fd, statfs), 'read the type of a filesystem');
  return statfs.view.getUint32(STATFS.type, true);
}

/** Whether `fd` lies on a filesystem whose files are the kernel's own. */
export function isOfKernel(fd: number): boolean {
  return KERNEL_FILESYSTEMS.has(filesystemMagic(fd));
}

// statfs(2)'s ST_* flags against mount(2)'s: a remount of a bind mount must repeat those that are locked.
const FLAGS: readonly (readonly [st: number, ms: number])[] = [
  [1, MS_RDONLY],
  [2, MS_NOSUID],
  [4, MS_NODEV],
  [8, MS_NOEXEC],
  [1024, MS_NOATIME],
  [2048, MS_NODIRATIME],
  [4096, MS_RELATIME],
];

const ATTRIBUTES: readonly (readonly [attribute: number, ms: number])[] = [
  [MOUNT_ATTR.readOnly, MS_RDONLY],
  [MOUNT_ATTR.noSuid, MS_NOSUID],
  [MOUNT_ATTR.noDev, MS_NODEV],
  [MOUNT_ATTR.noExec, MS_NOEXEC],
];

/**
 * What a bind of a host's device node is given: a read-only mount refuses changes of the node's mode, owner and times,
 * which would be the host's, and still lets the device be opened for reading and writing.
 */
export const DEVICE_ATTRIBUTES = MOUNT_ATTR.readOnly | MOUNT_ATTR.noSuid | MOUNT_ATTR.noExec;

/** Adds attributes to the mount whose root `fd` is, by mount_setattr or, before Linux 5.12, by a remount. */
export function restrictMount(fd: number, attributes: number, what: string): void {
  const done = mountSetattr(fd, attributes, false);
  if (done !== -ENOSYS) check(done, `restrict the mount of ${what}`);
  else remount(fd, attributes, what);
}

function remount(fd: number, attributes: number, what: string): void {
  check(fstatfs(fd, statfs), `read the mount flags of ${what}`);
  const current = statfs.view.getUint32(STATFS.flags, true);
  let flags = MS_REMOUNT | MS_BIND;
  for (const [st, ms] of FLAGS) if ((current & st) !== 0) flags |= ms;
  for (const [attribute, ms] of ATTRIBUTES) if ((attributes & attribute) !== 0) flags |= ms;
  check(mount('', throughFd(fd), '', flags), `restrict the mount of ${what}`);
}

/** The same for the mount whose root `fd` is and all mounts below it. */
export function restrictTree(fd: number, attributes: number): void {
  // The kernel's own name for the place, symlinks resolved.
  const path = readlinkSync(throughFd(fd), 'latin1');
  const done = mountSetattr(fd, attributes, true);
  if (done !== -ENOSYS) {
    check(done, `restrict the mounts below ${path}`);
    return;
  }
  for (const point of mountPoints().filter((point) => point === path || point.startsWith(`${path}/`))) {
    const mounted = check(openat(-1, point, O_PATH | O_NOFOLLOW | O_CLOEXEC), `open ${point}`);
    remount(mounted, attributes, point);
    close(mounted);
  }
}

/** Mount points of this thread's namespace, in the order in which they were mounted. */
export function mountPoints(): ByteString[] {
  const lines = readFileSync('/proc/thread-self/mountinfo', 'latin1').split('\n');
  const points = lines.flatMap((line) => line.split(' ').slice(4, 5));
  return points.map((point) =>
    point.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8))),
  );
}

/** Binds the file or directory of one descriptor on that of another. */
export function bind(source: number, target: number, recursive: boolean, what: string): void {
  const flags = MS_BIND | (recursive ? MS_REC : 0);
  check(mount(throughFd(source), throughFd(target), '', flags), `bind ${what}`);
}

/** O_PATH descriptor of what is below a directory, reached through no symlink; a negative errno. */
export function openBeneath(directory: number, path: ByteString): number {
  return openat2(directory, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

const attr = new Attr();

/** O_PATH descriptor of a device of the host, proved to be what its name says. */
export function openDevice(name: string, major: number, minor: number): number {
  const fd = check(openat(-1, `/dev/${name}`, O_PATH | O_NOFOLLOW | O_CLOEXEC), `open the host's /dev/${name}`);
  check(fstat(fd, attr), `stat the host's /dev/${name}`);
  if ((attr.mode & S_IFMT) === S_IFCHR && attr.rdevMajor === major && attr.rdevMinor === minor) return fd;
  throw new Error(`the host's /dev/${name} is not the character device ${major}:${minor}`);
}
