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
import { describeErrno, errnoName, EACCES, ENODEV, ENOENT, ENXIO, EPERM } from '../sys/errno.ts';
import { close, openat } from '../sys/file.ts';
import { mount, umount } from '../sys/mount.ts';
import { mountByHelper } from './fusermount.ts';
import { type FuseOptions, MOUNT_TYPE } from './options.ts';
import { MAX_WRITE } from './slot.ts';

const DEVICE = '/dev/fuse';

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
    `max_read=${MAX_WRITE}`,
  ];
  if (options.allowOther !== false) data.push('allow_other');
  return data.join(',');
}

/** What stood in the way of a mount. */
interface Refusal {
  readonly what: string;
  readonly hint: string;
}

const CONTAINER_HINT =
  'in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN (Kubernetes: a FUSE device plugin, SYS_ADMIN)';

function deviceRefusal(errno: number): Refusal {
  if (errno === ENOENT || errno === ENODEV || errno === ENXIO) {
    return {
      what: `${DEVICE} is not there (${errnoName(errno)})`,
      hint: `load the module (modprobe fuse); ${CONTAINER_HINT}`,
    };
  }
  const hint =
    errno === EACCES
      ? `${DEVICE} is there, but closed to uid ${process.geteuid?.() ?? 0}: chmod 0666 ${DEVICE}`
      : CONTAINER_HINT;
  return { what: `open ${DEVICE}: ${describeErrno(errno)}`, hint };
}

function mountRefusal(errno: number): Refusal {
  const hint =
    errno === EPERM
      ? `run as root or in a user namespace of your own (unshare -Urm); ${CONTAINER_HINT}`
      : 'see the kernel log (dmesg)';
  return { what: `mount(2): ${describeErrno(errno)}`, hint };
}

function mountDirectly(mountpoint: ByteString, options: FuseOptions): number | Refusal {
  const fd = openat(AT_FDCWD, DEVICE, O_RDWR | O_CLOEXEC);
  if (fd < 0) return deviceRefusal(-fd);
  const source = options.fsname ?? 'lamina';
  const mounted = mount(source, mountpoint, MOUNT_TYPE, flagsOf(options), dataOf(fd, options));
  if (mounted < 0) {
    close(fd);
    return mountRefusal(-mounted);
  }
  const { propagation } = options;
  if (propagation !== undefined) mount('', mountpoint, '', PROPAGATION[propagation]);
  return fd;
}

/**
 * Mounts FUSE on a directory: by mount(2) where we have CAP_SYS_ADMIN in the user namespace, else by fusermount3.
 * Answers the file descriptor that the session is to serve; throws with both reasons where neither works.
 */
export function mountFuse(mountpoint: ByteString, options: FuseOptions): number {
  const direct = mountDirectly(mountpoint, options);
  if (typeof direct === 'number') return direct;
  const helped = mountByHelper(mountpoint, options);
  if (typeof helped === 'number') return helped;
  throw new Error(
    `cannot mount on ${toText(mountpoint)}: ${direct.what}; fusermount3: ${helped.reason} (${direct.hint})`,
  );
}

/** Takes a mount away again that could not be served. */
export function undoMount(mountpoint: ByteString): void {
  umount(mountpoint, MNT_DETACH);
}
