import { Attr } from '../../../fs/sys/attr.ts';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_NOFOLLOW, O_PATH, S_IFBLK, S_IFCHR, S_IFMT } from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close, fstat, openat } from '../../../fs/sys/file.ts';
import { type DeviceSpec } from '../spec.ts';
import { type Inside } from './inside.ts';
import { DEVICE_ATTRIBUTES, bind, isOfKernel, restrictMount } from './mounting.ts';

const attr = new Attr();

/**
 * Gives a container devices of the host, each bound from its node there: what mknod(2) would make an ordinary user may
 * not make, and nobody could open on a mount of a user namespace.
 */
export function mountDevices(inside: Inside, devices: readonly DeviceSpec[]): void {
  for (const device of devices) mountDevice(inside, device);
}

function mountDevice(inside: Inside, device: DeviceSpec): void {
  const { source, destination } = device;
  const from = check(openat(-1, toBytes(source), O_PATH | O_NOFOLLOW | O_CLOEXEC), `open the device ${source}`);
  if (!isMeant(from, device)) throw new Error(`${source} is no longer the device that the container was made with`);
  const target = inside.ensureFile(toBytes(destination));
  if (isOfKernel(target))
    throw new Error(`cannot have the device ${destination}: it is on one of the kernel's own filesystems`);
  bind(from, target, false, `the device ${source} on ${destination}`);
  close(target);
  close(from);
  const bound = inside.open(toBytes(destination), O_PATH);
  restrictMount(bound, DEVICE_ATTRIBUTES, destination);
  close(bound);
}

function isMeant(fd: number, { type, major, minor }: DeviceSpec): boolean {
  check(fstat(fd, attr), 'stat a device');
  return (
    (attr.mode & S_IFMT) === (type === 'b' ? S_IFBLK : S_IFCHR) && attr.rdevMajor === major && attr.rdevMinor === minor
  );
}
