import { type ByteString } from '../../../fs/sys/bytes.ts';
import { MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE } from '../../../fs/sys/constants.ts';
import { EINVAL, check } from '../../../fs/sys/errno.ts';
import { mount } from '../../../fs/sys/mount.ts';
import { type MountSpec } from '../spec.ts';
import { type Propagation } from '../volume/mount-request.ts';
import { mountPoints } from './mounting.ts';

const KINDS = { private: MS_PRIVATE, slave: MS_SLAVE, shared: MS_SHARED, unbindable: MS_UNBINDABLE } as const;

/** Flags of mount(2) for a propagation. */
export function propagationFlags(propagation: Propagation): number {
  const isRecursive = propagation.startsWith('r');
  const kind = (isRecursive ? propagation.slice(1) : propagation) as keyof typeof KINDS;
  return KINDS[kind] | (isRecursive ? MS_REC : 0);
}

/**
 * Separates the mounts of a new namespace from the host's, as far as no volume is to be told of what is mounted there, or
 * to tell it.
 *
 * @param rootfs mount point of what becomes the root: what is mounted in it is nobody else's in any case.
 */
export function separateMounts(rootfs: ByteString, { volumes }: MountSpec): void {
  const wanted = volumes.map((volume) => (volume.type === 'tmpfs' ? '' : (volume.propagation ?? '')));
  const isShared = wanted.some((propagation) => propagation.endsWith('shared'));
  const isSlave = wanted.some((propagation) => propagation.endsWith('slave'));
  if (!isShared) separateAll(isSlave ? MS_SLAVE : MS_PRIVATE);
  if (!isShared && !isSlave) return;
  check(mount('', rootfs, '', MS_REC | MS_PRIVATE), "separate the container's root from the host's");
  // pivot_root(2) wants the mount that the new root lies in to be no shared one.
  const parent = parentOf(rootfs);
  check(mount('', parent, '', isShared ? MS_PRIVATE : MS_SLAVE), `separate the mount on ${parent} from the host's`);
}

function separateAll(kind: number): void {
  const separated = mount('', '/', '', MS_REC | kind);
  // The root of a chroot is no mount point: then each of those that can be seen.
  const all = separated === -EINVAL ? mountPoints().map((point) => mount('', point, '', kind)) : [separated];
  for (const result of all) check(result, "separate the container's mounts from the host's");
}

/** The mount point that a mount point lies below: the deepest. */
function parentOf(path: ByteString): ByteString {
  const above = mountPoints().filter((point) => point !== path && path.startsWith(point === '/' ? '/' : `${point}/`));
  return above.reduce((deepest, point) => (point.length > deepest.length ? point : deepest), '/');
}
