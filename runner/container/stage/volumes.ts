import { toBytes } from '../../../fs/sys/bytes.ts';
import { MS_NODEV, MS_NOSUID, O_CLOEXEC, O_PATH } from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close, openat } from '../../../fs/sys/file.ts';
import { MOUNT_ATTR } from '../../../fs/sys/mount-attributes.ts';
import { mount } from '../../../fs/sys/mount.ts';
import { type Volume } from '../spec.ts';
import { type Inside, isDirectory, throughFd } from './inside.ts';
import { PROC_SUPER_MAGIC, bind, filesystemMagic, isOfKernel, restrictMount, restrictTree } from './mounting.ts';

/** Binds files and directories of the host, those of higher directories first. */
export function mountVolumes(inside: Inside, volumes: readonly Volume[]): void {
  const depth = ({ destination }: Volume) => destination.split('/').length;
  const places = ['/dev', '/sys'];
  for (const volume of [...volumes].sort((left, right) => depth(left) - depth(right))) {
    mountVolume(inside, volume, places);
    places.push(volume.destination);
  }
}

/**
 * Refuses to mount where a symlink of the image leads into what is the kernel's own: procfs always (CVE-2025-52881),
 * other such filesystems unless the path itself says so.
 *
 * @param places directories below which the caller may ask for it by name.
 */
function checkTarget(target: number, destination: string, places: readonly string[]): void {
  const isProc = filesystemMagic(target) === PROC_SUPER_MAGIC;
  const isAskedFor = !isProc && places.some((place) => destination.startsWith(`${place}/`));
  if (isAskedFor || !isOfKernel(target)) return;
  const where = isProc ? 'in /proc' : "on one of the kernel's own filesystems";
  throw new Error(`cannot mount on ${destination} in the container: it is ${where}`);
}

function mountVolume(inside: Inside, { source, destination, readOnly }: Volume, places: readonly string[]): void {
  const from = check(openat(-1, toBytes(source), O_PATH | O_CLOEXEC), `open ${source}`);
  const path = toBytes(destination);
  const target = isDirectory(from) ? inside.ensureDirectory(path) : inside.ensureFile(path);
  checkTarget(target, destination, places);
  bind(from, target, true, `${source} on ${destination}`);
  close(target);
  close(from);
  const bound = inside.open(path, O_PATH);
  // No devices: see mountDev.
  restrictTree(bound, MOUNT_ATTR.noDev | (readOnly ? MOUNT_ATTR.readOnly : 0));
  close(bound);
}

// What a program must be able to write to in a container whose root is read-only, as podman has it.
const WRITABLE: readonly (readonly [path: string, mode: string])[] = [
  ['/run', '755'],
  ['/tmp', '1777'],
  ['/var/tmp', '1777'],
];

/** Makes the root read-only but for temporary directories. */
export function mountTemporaries(inside: Inside, volumes: readonly Volume[]): void {
  const taken = new Set(volumes.map(({ destination }) => destination));
  for (const [path, mode] of WRITABLE.filter(([path]) => !taken.has(path))) {
    const target = inside.ensureDirectory(path);
    checkTarget(target, path, []);
    check(mount('tmpfs', throughFd(target), 'tmpfs', MS_NOSUID | MS_NODEV, `mode=${mode}`), `mount ${path}`);
    close(target);
  }
}

/** Every mount of a container but those of the devices is nodev. */
export function restrictRoot(inside: Inside, readOnly: boolean): void {
  restrictMount(inside.fd, MOUNT_ATTR.noDev | (readOnly ? MOUNT_ATTR.readOnly : 0), "the container's root");
}
