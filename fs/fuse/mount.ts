import { fstatSync } from 'node:fs';
import { type ByteString, toText } from '../sys/bytes.ts';
import {
  MNT_DETACH,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_SLAVE,
  O_CLOEXEC,
  O_RDWR,
  AT_FDCWD,
} from '../sys/constants.ts';
import { describeErrno, errnoName, EACCES, EINVAL, ENODEV, EPERM } from '../sys/errno.ts';
import { close, openat } from '../sys/file.ts';
import { mount, umount } from '../sys/mount.ts';
import { mountByHelper } from './fusermount.ts';
import { type FuseOptions, MOUNT_TYPE } from './options.ts';
import { FUSE_DEVICE, fuseRemedy, isAbsent } from './remedy.ts';
import { MAX_READ } from './slot.ts';

// Of the device 10:229, as stat(2) gives it.
const FUSE_NUMBER = (10 << 8) | 229;

const PROPAGATION: Readonly<Record<NonNullable<FuseOptions['propagation']>, number>> = {
  private: MS_PRIVATE,
  rprivate: MS_PRIVATE | MS_REC,
  slave: MS_SLAVE,
  rslave: MS_SLAVE | MS_REC,
};

function flagsOf(options: FuseOptions): number {
  let flags = 0;
  if (options.readOnly === true) flags |= MS_RDONLY;
  if (options.suid === false) flags |= MS_NOSUID;
  if (options.dev === false) flags |= MS_NODEV;
  if (options.exec === false) flags |= MS_NOEXEC;
  if (options.atime !== true) flags |= MS_NOATIME;
  if (options.diratime === false) flags |= MS_NODIRATIME;
  return flags;
}

function dataOf(fd: number, options: FuseOptions): string {
  const data = [
    `fd=${fd}`,
    'rootmode=40000',
    `user_id=${process.geteuid?.() ?? 0}`,
    `group_id=${process.getegid?.() ?? 0}`,
    'default_permissions',
    // Reads never exceed the reply buffers, whatever the page size.
    `max_read=${MAX_READ}`,
  ];
  if (options.allowOther !== false) data.push('allow_other');
  return data.join(',');
}

/** Why a mount cannot be, in a line that ends with what mends it. */
function deviceRefusal(errno: number): string {
  const what = isAbsent(errno)
    ? `${FUSE_DEVICE} is not there (${errnoName(errno)})`
    : errno === EACCES
      ? `${FUSE_DEVICE} is there, but closed to you (EACCES)`
      : `open ${FUSE_DEVICE}: ${describeErrno(errno)}`;
  return `${what}: ${fuseRemedy(errno)}`;
}

/** fusermount3, which may mount where we may not, opens the device with the rights of its caller: it comes after that. */
function mountOpened(fd: number, mountpoint: ByteString, options: FuseOptions): number | string {
  const source = options.fsname ?? 'lamina';
  const mounted = mount(source, mountpoint, MOUNT_TYPE, flagsOf(options), dataOf(fd, options));
  if (mounted === 0) {
    const { propagation } = options;
    if (propagation !== undefined) mount('', mountpoint, '', PROPAGATION[propagation]);
    return fd;
  }
  const isOther = mounted === -EINVAL && !isFuseDevice(fd);
  close(fd);
  if (isOther) return `${FUSE_DEVICE} is another device than FUSE's (10:229): ${fuseRemedy(ENODEV)}`;
  const helped = mountByHelper(mountpoint, options);
  if (typeof helped === 'number') return helped;
  const hint = mounted === -EPERM || mounted === -EACCES ? mountAdvice() : 'see the kernel log (dmesg)';
  return `mount(2): ${describeErrno(mounted)}; fusermount3: ${helped.reason} (${hint})`;
}

function isFuseDevice(fd: number): boolean {
  const { rdev } = fstatSync(fd);
  return rdev === FUSE_NUMBER;
}

function mountAdvice(): string {
  const root = process.geteuid?.() === 0 ? '' : 'run as root or in a user namespace of your own (unshare -Urm); ';
  return root + fuseRemedy(EPERM);
}

/**
 * Mounts FUSE on a directory: by mount(2) where we have CAP_SYS_ADMIN in the user namespace, else by fusermount3.
 * Answers the file descriptor that the session is to serve; throws with both reasons where neither works.
 */
export function mountFuse(mountpoint: ByteString, options: FuseOptions): number {
  const fd = openat(AT_FDCWD, FUSE_DEVICE, O_RDWR | O_CLOEXEC);
  const mounted = fd < 0 ? deviceRefusal(-fd) : mountOpened(fd, mountpoint, options);
  if (typeof mounted === 'string') throw new Error(`cannot mount on ${toText(mountpoint)}: ${mounted}`);
  return mounted;
}

/** Takes a mount away again that could not be served. */
export function undoMount(mountpoint: ByteString): void {
  umount(mountpoint, MNT_DETACH);
}
