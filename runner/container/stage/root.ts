import { MNT_DETACH, MS_MOVE } from '../../../fs/sys/constants.ts';
import { type ByteString } from '../../../fs/sys/bytes.ts';
import { EACCES, EINVAL, ENOSYS, EPERM, check } from '../../../fs/sys/errno.ts';
import { mount, umount } from '../../../fs/sys/mount.ts';
import { pivotRoot } from '../../../fs/sys/namespaces.ts';
import { chroot, fchdir } from '../../../fs/sys/process.ts';
import { type RootChange } from '../spec.ts';
import { mountPoints } from './mounting.ts';

/**
 * Makes a mount the root of this mount namespace, with nothing of the old one left in it.
 *
 * pivot_root(2) answers EINVAL where the old root is the initial ramfs or no mount point at all (a chroot), and EPERM,
 * EACCES or ENOSYS where the seccomp filter or the security module of an outer container refuses the call alone. The
 * first and the last are served by moving the mount over the old root; the second by a plain chroot, which leaves the
 * host's mounts in the namespace, out of reach only as long as the container lacks CAP_SYS_ADMIN.
 *
 * @param root descriptor of its root.
 * @param rootfs its mount point, for what is mounted elsewhere.
 */
export function changeRoot(root: number, rootfs: ByteString): RootChange {
  check(fchdir(root), `enter ${rootfs}`);
  const how = pivot(rootfs);
  process.chdir('/');
  return how;
}

const REFUSALS: ReadonlySet<number> = new Set([EINVAL, EPERM, EACCES, ENOSYS].map((errno) => -errno));

function pivot(rootfs: ByteString): RootChange {
  // With both names the same, the old root ends up mounted over the new one, at `.`.
  const pivoted = pivotRoot('.', '.');
  if (pivoted === 0) {
    check(umount('.', MNT_DETACH), 'detach the old root');
    return 'pivot_root';
  }
  if (!REFUSALS.has(pivoted)) check(pivoted, `make ${rootfs} the root`);
  const moved = moveOverRoot(rootfs);
  if (moved !== -EINVAL) check(moved, `move ${rootfs} over the root`);
  check(chroot('.'), `change the root to ${rootfs}`);
  return moved === 0 ? 'move' : 'chroot';
}

// The kernel refuses to move over a root that is no mount point, as under chroot: then nothing is to be detached either.
function moveOverRoot(rootfs: ByteString): number {
  const points = mountPoints();
  if (!points.includes('/')) return -EINVAL;
  const others = points.filter((point) => point !== '/' && !isAtOrBelow(point, rootfs) && !isAtOrBelow(rootfs, point));
  for (const point of others.reverse()) umount(point, MNT_DETACH);
  return mount('.', '/', '', MS_MOVE);
}

function isAtOrBelow(path: ByteString, ancestor: ByteString): boolean {
  return path === ancestor || path.startsWith(`${ancestor}/`);
}
