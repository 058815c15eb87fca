import { type ByteString, toBytes } from '../../../fs/sys/bytes.ts';
import {
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
} from '../../../fs/sys/constants.ts';
import { ENOENT, EPERM, check } from '../../../fs/sys/errno.ts';
import { close, openat, openat2 } from '../../../fs/sys/file.ts';
import { MOUNT_ATTR } from '../../../fs/sys/mount-attributes.ts';
import { mount } from '../../../fs/sys/mount.ts';
import { type CgroupMount, type KernelSpec } from '../spec.ts';
import { type SystemPaths } from '../system-paths.ts';
import { mountCgroups } from './cgroups.ts';
import { type Inside, isDirectory, throughFd } from './inside.ts';
import {
  DEVICE_ATTRIBUTES,
  PROC_SUPER_MAGIC,
  bind,
  filesystemMagic,
  openBeneath,
  openDevice,
  restrictMount,
  restrictTree,
} from './mounting.ts';

const LOCKED_DOWN = MS_NOSUID | MS_NODEV | MS_NOEXEC;

/** A mount point that must be a real directory: the init layer put it there, only an upper can have replaced it. */
export function openMountPoint(inside: Inside, name: ByteString): number {
  const flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  const fd = openat2(inside.fd, name, flags, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  return check(fd, `open /${name} of the container, which must be a directory, to mount on it`);
}

/**
 * A fresh procfs of the container's pid namespace, its dangerous files out of reach.
 *
 * @param isForeign that namespace is the host's, or another container's.
 */
export function mountProc(inside: Inside, { masked, readOnly }: SystemPaths, isForeign: boolean): void {
  const point = openMountPoint(inside, 'proc');
  const mounted = mount('proc', throughFd(point), 'proc', LOCKED_DOWN);
  // Processes of another user namespace: an ordinary user has their procfs as it is mounted, as in podman.
  if (mounted === -EPERM && isForeign) bindHost('/proc', point);
  else if (mounted === -EPERM) throw new Error(explainProc());
  else check(mounted, 'mount /proc in the container');
  close(point);
  const proc = openMountPoint(inside, 'proc');
  // Were it another filesystem, the writes and masks below would miss what they are for (CVE-2025-52881).
  if (filesystemMagic(proc) !== PROC_SUPER_MAGIC) throw new Error('what is mounted on /proc is not procfs');
  for (const path of pathsBelow('/proc/', masked)) mask(proc, path);
  for (const path of pathsBelow('/proc/', readOnly)) makeReadOnly(proc, path);
  close(proc);
}

function explainProc(): string {
  return (
    'cannot mount /proc in the container: the kernel refuses it where parts of /proc are masked, as in a container; ' +
    'start the outer container with --security-opt systempaths=unconfined (docker), --security-opt unmask=ALL (podman)'
  );
}

function mask(directory: number, path: ByteString): void {
  const target = openBeneath(directory, path);
  if (target === -ENOENT) return;
  maskOpened(check(target, `mask ${path}`), path, () => check(openBeneath(directory, path), `mask ${path}`));
}

/** Puts an empty directory or /dev/null over what is there, and closes it. */
function maskOpened(target: number, path: ByteString, reopen: () => number): void {
  if (isDirectory(target)) {
    check(mount('tmpfs', throughFd(target), 'tmpfs', MS_RDONLY | LOCKED_DOWN, 'size=0k'), `mask ${path}`);
  } else {
    const empty = openDevice('null', 1, 3);
    bind(empty, target, false, `/dev/null over ${path}`);
    close(empty);
    const bound = reopen();
    restrictMount(bound, DEVICE_ATTRIBUTES, path);
    close(bound);
  }
  close(target);
}

function makeReadOnly(directory: number, path: ByteString): void {
  const target = openBeneath(directory, path);
  if (target === -ENOENT) return;
  check(target, `make ${path} read-only`);
  bind(target, target, true, `${path} on itself`);
  close(target);
  const bound = check(openBeneath(directory, path), `make ${path} read-only`);
  restrictMount(bound, MOUNT_ATTR.readOnly, path);
  close(bound);
}

/** /sys, read-only but for a privileged container, and in it the container's control groups. */
export function mountSys(inside: Inside, { paths, writable }: KernelSpec, cgroups: readonly CgroupMount[]): void {
  const point = openMountPoint(inside, 'sys');
  const mounted = mount('sysfs', throughFd(point), 'sysfs', LOCKED_DOWN | (writable ? 0 : MS_RDONLY));
  // A user namespace may mount sysfs only with a network namespace of its own: it gets the host's, as in podman.
  if (mounted === -EPERM) bindHostSys(inside, point, writable);
  else check(mounted, 'mount /sys in the container');
  close(point);
  const sys = openMountPoint(inside, 'sys');
  for (const path of pathsBelow('/sys/', paths.masked)) mask(sys, path);
  for (const path of pathsBelow('/sys/', paths.readOnly)) makeReadOnly(sys, path);
  mountCgroups(sys, cgroups, writable);
  close(sys);
}

function pathsBelow(directory: string, paths: readonly string[]): ByteString[] {
  return paths.filter((path) => path.startsWith(directory)).map((path) => toBytes(path.slice(directory.length)));
}

/** Masks what lies neither in /proc nor in /sys, symlinks resolved inside the container. */
export function maskOthers(inside: Inside, paths: readonly string[]): void {
  for (const path of paths.filter((path) => !/^\/(?:proc|sys)\//.test(path))) {
    const target = inside.tryOpen(toBytes(path), O_PATH);
    if (target === -ENOENT) continue;
    maskOpened(check(target, `mask ${path}`), path, () => inside.open(toBytes(path), O_PATH));
  }
}

function bindHost(path: string, point: number): void {
  const host = check(openat(-1, toBytes(path), O_PATH | O_DIRECTORY | O_CLOEXEC), `open the host's ${path}`);
  bind(host, point, true, `the host's ${path}`);
  close(host);
}

function bindHostSys(inside: Inside, point: number, writable: boolean): void {
  bindHost('/sys', point);
  const bound = openMountPoint(inside, 'sys');
  const readOnly = writable ? 0 : MOUNT_ATTR.readOnly;
  restrictTree(bound, readOnly | MOUNT_ATTR.noSuid | MOUNT_ATTR.noDev | MOUNT_ATTR.noExec);
  close(bound);
}
