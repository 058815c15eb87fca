import { toBytes } from '../../../fs/sys/bytes.ts';
import { MS_NODEV, MS_NOSUID, O_CLOEXEC, O_PATH } from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close, openat } from '../../../fs/sys/file.ts';
import { MOUNT_ATTR } from '../../../fs/sys/mount-attributes.ts';
import { mount } from '../../../fs/sys/mount.ts';
import { type Volume } from '../spec.ts';
import { type Inside, isDirectory, throughFd } from './inside.ts';
import { PROC_SUPER_MAGIC, bind, filesystemMagic, restrictMount, restrictTree } from './mounting.ts';

/** Binds files and directories of the host, those of higher directories first. */
export function mountVolumes(inside: Inside, volumes: readonly Volume[]): void {
  const depth = ({ destination }: Volume) => destination.split('/').length;
  for (const volume of [...volumes].sort((left, right) => depth(left) - depth(right))) mountVolume(inside, volume);
}

function mountVolume(inside: Inside, { source, destination, readOnly }: Volume): void {
  const from = check(openat(-1, toBytes(source), O_PATH | O_CLOEXEC), `open ${source}`);
  const path = toBytes(destination);
  const target = isDirectory(from) ? inside.ensureDirectory(path) : inside.ensureFile(path);
  // A symlink of the image may lead here: procfs is nobody's but the kernel's (CVE-2025-52881).
  if (filesystemMagic(target) === PROC_SUPER_MAGIC) throw new Error(`cannot bind on ${destination}: it is in /proc`);
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
    check(mount('tmpfs', throughFd(target), 'tmpfs', MS_NOSUID | MS_NODEV, `mode=${mode}`), `mount ${path}`);
    close(target);
  }
}

/** Every mount of a container but those of the devices is nodev. */
export function restrictRoot(inside: Inside, readOnly: boolean): void {
  restrictMount(inside.fd, MOUNT_ATTR.noDev | (readOnly ? MOUNT_ATTR.readOnly : 0), "the container's root");
}
