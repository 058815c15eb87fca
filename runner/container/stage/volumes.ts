import { toBytes } from '../../../fs/sys/bytes.ts';
import {
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  O_CLOEXEC,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close, openat, openat2 } from '../../../fs/sys/file.ts';
import { MOUNT_ATTR } from '../../../fs/sys/mount-attributes.ts';
import { mount } from '../../../fs/sys/mount.ts';
import { readMounts } from '../../../fs/sys/mountinfo.ts';
import { type MountSpec, type Volume } from '../spec.ts';
import { type TmpfsRequest } from '../volume/mount-request.ts';
import { type Account } from './account.ts';
import { chownTree } from './chown-tree.ts';
import { type Inside, isDirectory, throughFd, untilSettled } from './inside.ts';
import { PROC_SUPER_MAGIC, bind, filesystemMagic, isOfKernel, restrictMount, restrictTree } from './mounting.ts';
import type { Populate } from './populate.ts';
import { propagationFlags } from './separate-mounts.ts';

type StageMount = MountSpec['volumes'][number];

/**
 * Mounts what the command line asks for, what is on higher directories first.
 *
 * @param populate fills what is to begin with what the image has; needed where `needsPopulation`.
 */
export function mountVolumes(inside: Inside, volumes: readonly StageMount[], populate: Populate | undefined): void {
  const depth = ({ destination }: StageMount) => destination.split('/').length;
  const places = ['/dev', '/sys'];
  for (const volume of [...volumes].sort((left, right) => depth(left) - depth(right))) {
    if (volume.type === 'tmpfs') mountTmpfs(inside, volume, places, populate);
    else mountVolume(inside, volume, places, populate);
    places.push(volume.destination);
  }
}

export function needsPopulation(volumes: readonly StageMount[]): boolean {
  return volumes.some((volume) => (volume.type === 'tmpfs' ? volume.copyUp : volume.populate) === true);
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

function openSource({ source, subpath }: Volume): number {
  const root = check(openat(-1, toBytes(source), O_PATH | O_CLOEXEC), `open ${source}`);
  if (subpath === undefined) return root;
  const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const fd = untilSettled(() => openat2(root, toBytes(subpath), O_PATH | O_CLOEXEC, 0, resolve));
  close(root);
  return check(fd, `open ${subpath} in ${source}`);
}

function mountVolume(inside: Inside, volume: Volume, places: readonly string[], populate: Populate | undefined): void {
  const { source, destination } = volume;
  const from = openSource(volume);
  const path = toBytes(destination);
  const target = isDirectory(from) ? inside.ensureDirectory(path) : inside.ensureFile(path);
  checkTarget(target, destination, places);
  if (volume.populate === true) populate?.volume(target, source);
  bind(from, target, volume.nonRecursive !== true, `${source} on ${destination}`);
  close(target);
  close(from);
  const bound = inside.open(path, O_PATH);
  restrict(bound, volume);
  propagate(bound, volume);
  close(bound);
}

/** No devices, unless they are asked for: see mountDev. */
function restrict(bound: number, { readOnly, readOnlyRoot, noExec, noSuid, dev, destination }: Volume): void {
  const always =
    (dev === true ? 0 : MOUNT_ATTR.noDev) |
    (noExec === true ? MOUNT_ATTR.noExec : 0) |
    (noSuid === true ? MOUNT_ATTR.noSuid : 0);
  const isWhole = readOnly && readOnlyRoot !== true;
  const attributes = always | (isWhole ? MOUNT_ATTR.readOnly : 0);
  if (attributes !== 0) restrictTree(bound, attributes);
  if (readOnly && !isWhole) restrictMount(bound, MOUNT_ATTR.readOnly, destination);
}

function propagate(bound: number, { propagation, source, destination }: Volume): void {
  // Where others are told of what is mounted, a mount that does not say so is private.
  const flags = propagationFlags(propagation ?? 'rprivate');
  if (propagation?.endsWith('shared') === true) checkShared(source);
  const changed = mount('', throughFd(bound), '', flags);
  check(changed, `make the mount on ${destination} ${propagation ?? 'private'}`);
}

/** A mount that is made shared here would be so with nobody. */
function checkShared(source: string): void {
  const above = readMounts('self').filter(({ mountpoint }) => {
    const path = toBytes(source);
    return path === mountpoint || path.startsWith(mountpoint === '/' ? '/' : `${mountpoint}/`);
  });
  const nearest = above.reduce<(typeof above)[number] | undefined>(
    (deepest, mounted) => (mounted.mountpoint.length >= (deepest?.mountpoint.length ?? 0) ? mounted : deepest),
    undefined,
  );
  if (nearest === undefined || nearest.isShared) return;
  throw new Error(
    `${source} is mounted on ${nearest.mountpoint}, which is not a shared mount: mount --make-shared ${nearest.mountpoint}, as root, or leave out the propagation`,
  );
}

function mountTmpfs(
  inside: Inside,
  request: TmpfsRequest,
  places: readonly string[],
  populate: Populate | undefined,
): void {
  const { destination, readOnly, exec, suid, dev, data, copyUp } = request;
  const path = toBytes(destination);
  const target = inside.ensureDirectory(path);
  checkTarget(target, destination, places);
  const flags = (exec === true ? 0 : MS_NOEXEC) | (suid === true ? 0 : MS_NOSUID) | (dev === true ? 0 : MS_NODEV);
  // Docker's, which anybody may write to.
  const options = data.some((option) => option.startsWith('mode=')) ? data : ['mode=1777', ...data];
  check(mount('tmpfs', throughFd(target), 'tmpfs', flags, toBytes(options.join())), `mount a tmpfs on ${destination}`);
  const mounted = inside.open(path, O_PATH);
  if (copyUp === true) populate?.tmpfs(target, mounted);
  close(target);
  if (readOnly) restrictMount(mounted, MOUNT_ATTR.readOnly, destination);
  close(mounted);
}

/** Gives the container's user what was asked to be given to it: by the sources, since the mounts may be read-only. */
export function chownVolumes(volumes: readonly StageMount[], { uid, gid }: Account): void {
  for (const volume of volumes) {
    if (volume.type === 'tmpfs' || volume.chown !== true) continue;
    const fd = openSource(volume);
    chownTree(fd, uid, gid, volume.source);
    close(fd);
  }
}

// What a program must be able to write to in a container whose root is read-only, as podman has it.
const WRITABLE: readonly (readonly [path: string, mode: string])[] = [
  ['/run', '755'],
  ['/tmp', '1777'],
  ['/var/tmp', '1777'],
];

/** Makes the temporary directories of a read-only root writable. */
export function mountTemporaries(inside: Inside, volumes: readonly StageMount[]): void {
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
