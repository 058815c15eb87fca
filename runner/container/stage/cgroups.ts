import {
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
} from '../../../fs/sys/constants.ts';
import { type ByteString, toBytes } from '../../../fs/sys/bytes.ts';
import { EBUSY, EPERM, check } from '../../../fs/sys/errno.ts';
import { close, mkdirat, openat, symlinkat } from '../../../fs/sys/file.ts';
import { MOUNT_ATTR } from '../../../fs/sys/mount-attributes.ts';
import { mount } from '../../../fs/sys/mount.ts';
import { type CgroupMount } from '../spec.ts';
import { throughFd } from './inside.ts';
import { CGROUP2_SUPER_MAGIC, filesystemMagic, openBeneath, restrictMount } from './mounting.ts';

const LOCKED_DOWN = MS_NOSUID | MS_NODEV | MS_NOEXEC;
const UNIFIED: CgroupMount = { name: '', type: 'cgroup2', controllers: [] };

/**
 * /sys/fs/cgroup, read-only but for a privileged container. The cgroup namespace makes the container's own group the root of each hierarchy; one in
 * which it has no group of its own would show the host's, and is left out.
 */
export function mountCgroups(sys: number, mounts: readonly CgroupMount[], writable: boolean): void {
  const access = writable ? 0 : MS_RDONLY;
  const [only, ...others] = mounts.length > 0 ? mounts : hostIsUnified() ? [UNIFIED] : [];
  if (only === undefined) return;
  const target = openBeneath(sys, 'fs/cgroup');
  if (target < 0) return;
  if (only.name === '') mountAlone(sys, target, only, access);
  else mountTogether(sys, target, [only, ...others], access);
  close(target);
}

function hostIsUnified(): boolean {
  const host = openat(-1, '/sys/fs/cgroup', O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (host < 0) return false;
  const isUnified = filesystemMagic(host) === CGROUP2_SUPER_MAGIC;
  close(host);
  return isUnified;
}

/** As docker has it: a directory for each hierarchy, and a name for each controller of one that has several. */
function mountTogether(sys: number, target: number, mounts: readonly CgroupMount[], access: number): void {
  check(mount('tmpfs', throughFd(target), 'tmpfs', LOCKED_DOWN, 'mode=755,size=64k'), 'mount /sys/fs/cgroup');
  const directory = check(openBeneath(sys, 'fs/cgroup'), 'open /sys/fs/cgroup of the container');
  for (const hierarchy of mounts) {
    const name = toBytes(hierarchy.name);
    check(mkdirat(directory, name, 0o755), `make /sys/fs/cgroup/${hierarchy.name}`);
    const point = check(openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), 'open what was made');
    check(tryMount(point, hierarchy, access), 'mount /sys/fs/cgroup in the container');
    close(point);
    for (const link of linksTo(hierarchy)) check(symlinkat(name, directory, link), `make /sys/fs/cgroup/${link}`);
  }
  restrictMount(directory, MOUNT_ATTR.readOnly, '/sys/fs/cgroup');
  close(directory);
}

function linksTo({ name, controllers }: CgroupMount): ByteString[] {
  return controllers.length > 1 ? controllers.filter((controller) => controller !== name).map(toBytes) : [];
}

function mountAlone(sys: number, target: number, hierarchy: CgroupMount, access: number): void {
  const mounted = tryMount(target, hierarchy, access);
  if (mounted !== -EBUSY) {
    check(mounted, 'mount /sys/fs/cgroup in the container');
    return;
  }
  // No filesystem is mounted on itself, as where /sys is the host's with what is mounted in it.
  check(mount('tmpfs', throughFd(target), 'tmpfs', LOCKED_DOWN, 'mode=755,size=4k'), 'cover /sys/fs/cgroup');
  const covered = check(openBeneath(sys, 'fs/cgroup'), 'open /sys/fs/cgroup of the container');
  check(tryMount(covered, hierarchy, access), 'mount /sys/fs/cgroup in the container');
  close(covered);
}

/** 0, or a negative errno. */
function tryMount(target: number, { type, controllers }: CgroupMount, access: number): number {
  const mounted = mount('cgroup', throughFd(target), type, access | LOCKED_DOWN, controllers.join(','));
  // Without a mount of its own the container keeps what is there: nothing, or the host's, read-only.
  return mounted === -EPERM ? 0 : mounted;
}
