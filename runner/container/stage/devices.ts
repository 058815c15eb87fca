import {
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_STRICTATIME,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_WRONLY,
} from '../../../fs/sys/constants.ts';
import { EINVAL, ENODEV, EPERM, check } from '../../../fs/sys/errno.ts';
import { close, mkdirat, openat, symlinkat } from '../../../fs/sys/file.ts';
import { MOUNT_ATTR, attachTree } from '../../../fs/sys/mount-attributes.ts';
import { mount } from '../../../fs/sys/mount.ts';
import { type Inside, throughFd } from './inside.ts';
import { openMountPoint } from './kernel-filesystems.ts';
import { type SharedMemory } from './shared-memory.ts';
import { DEVICE_ATTRIBUTES, bind, openDevice, restrictMount } from './mounting.ts';

// Linux's Documentation/admin-guide/devices.txt.
const DEVICES: readonly (readonly [name: string, major: number, minor: number])[] = [
  ['null', 1, 3],
  ['zero', 1, 5],
  ['full', 1, 7],
  ['random', 1, 8],
  ['urandom', 1, 9],
  ['tty', 5, 0],
];

const LINKS: readonly (readonly [name: string, target: string])[] = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
  ['ptmx', 'pts/ptmx'],
];

/**
 * /dev of a container. The devices are the host's, bound one by one, and every other mount of the container is nodev:
 * so CAP_MKNOD, which docker's default set has, opens no device, with or without a devices cgroup. Modes, owners and
 * times of the host's nodes cannot be changed from inside.
 *
 * @param makesDevices those that are made in /dev can be opened, too.
 */
export function mountDev(inside: Inside, sharedMemory: SharedMemory, makesDevices: boolean): void {
  const point = openMountPoint(inside, 'dev');
  const flags = MS_NOSUID | (makesDevices ? 0 : MS_NODEV) | MS_STRICTATIME;
  check(mount('tmpfs', throughFd(point), 'tmpfs', flags, 'mode=755,size=65536k'), 'mount /dev in the container');
  close(point);
  const dev = openMountPoint(inside, 'dev');
  for (const [name, major, minor] of DEVICES) bindDevice(dev, name, major, minor);
  for (const [name, target] of LINKS) check(symlinkat(target, dev, name), `make /dev/${name}`);
  mountTerminals(dev);
  mountSharedMemory(dev, sharedMemory);
  const queue = mountNew(dev, 'mqueue', 'mqueue', TEMPORARY, '');
  // Of the host's ipc namespace, which an ordinary user may not have mounted.
  if (queue !== -ENODEV && !(queue === -EPERM && sharedMemory.spec.kind === 'shared'))
    check(queue, 'mount /dev/mqueue');
  close(dev);
}

const TEMPORARY = MS_NOSUID | MS_NODEV | MS_NOEXEC;

function mountSharedMemory(dev: number, { spec, shared }: SharedMemory): void {
  if (spec.kind === 'own') {
    check(mountNew(dev, 'shm', 'tmpfs', TEMPORARY, `mode=1777,size=${spec.size}`), 'mount /dev/shm');
  }
  if (shared === undefined) return;
  check(mkdirat(dev, 'shm', 0o755), 'make /dev/shm');
  const target = check(openat(dev, 'shm', O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), 'open /dev/shm');
  restrictMount(shared, MOUNT_ATTR.noSuid | MOUNT_ATTR.noDev | MOUNT_ATTR.noExec, '/dev/shm');
  check(attachTree(shared, target), 'mount the /dev/shm that is shared');
  close(target);
  close(shared);
}

function bindDevice(dev: number, name: string, major: number, minor: number): void {
  const source = openDevice(name, major, minor);
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  close(check(openat(dev, name, flags, 0o666), `make /dev/${name}`));
  const target = check(openat(dev, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), `open /dev/${name}`);
  bind(source, target, false, `the host's /dev/${name}`);
  close(target);
  close(source);
  const bound = check(openat(dev, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), `open /dev/${name}`);
  restrictMount(bound, DEVICE_ATTRIBUTES, `/dev/${name}`);
  close(bound);
}

function mountTerminals(dev: number): void {
  const options = 'newinstance,ptmxmode=0666,mode=0620';
  const flags = MS_NOSUID | MS_NOEXEC;
  const mounted = mountNew(dev, 'pts', 'devpts', flags, `${options},gid=5`);
  // Group tty is not mapped where the container has a single id.
  if (mounted === -EINVAL) check(mountOn(dev, 'pts', 'devpts', flags, options), 'mount /dev/pts');
  else check(mounted, 'mount /dev/pts');
}

function mountNew(dev: number, name: string, type: string, flags: number, options: string): number {
  check(mkdirat(dev, name, 0o755), `make /dev/${name}`);
  return mountOn(dev, name, type, flags, options);
}

function mountOn(dev: number, name: string, type: string, flags: number, options: string): number {
  const target = check(openat(dev, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), `open /dev/${name}`);
  const mounted = mount(type, throughFd(target), type, flags, options);
  close(target);
  return mounted;
}
