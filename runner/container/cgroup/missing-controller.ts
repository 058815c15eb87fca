import { accessSync, constants } from 'node:fs';
import { describeErrno } from '../../../fs/sys/errno.ts';
import { isRootless } from '../userns.ts';
import { type Hierarchy, findHierarchies, ownView } from './hierarchies.ts';

/**
 * Why a container has no group that a controller controls, and what to do.
 *
 * @param unified directory of the group that it has in the unified hierarchy.
 */
export function explainMissing(controller: string, unified: string | undefined): string {
  const why = `there is no control group with the ${controller} controller that lamina may make`;
  if (isRootless()) return `${why}: ${explainDelegation(unified)}`;
  const hierarchy = findHierarchies(ownView()).find(({ controllers }) => controllers.includes(controller));
  return `${why}: ${hierarchy === undefined ? NOT_MOUNTED : explainHierarchy(hierarchy)}`;
}

/** What mends that no control groups are mounted. */
export const MOUNT_CGROUPS = 'as root: mount -t cgroup2 none /sys/fs/cgroup';

/** What gives an ordinary user control groups. */
export const DELEGATE =
  'log in by systemd with cgroup v2, or run: systemd-run --user --scope -p Delegate=yes lamina ...';

/** What lets groups be made in hierarchies that are mounted read-only. */
export function makeWritable(mountpoints: readonly string[]): string {
  const commands = mountpoints.map((mountpoint) => `mount -o remount,rw ${mountpoint}`);
  return `as root: ${commands.join(' && ')}; where this is a container, start that one with --privileged`;
}

const NOT_MOUNTED = `no hierarchy that is mounted has it; ${MOUNT_CGROUPS}`;

function explainDelegation(unified: string | undefined): string {
  if (unified?.includes('.scope/') === true) {
    return 'systemd gives users few; as root, "systemctl edit user@.service" with "[Service] Delegate=yes", and log in anew';
  }
  return `an ordinary user needs a delegated one: ${DELEGATE}`;
}

function explainHierarchy({ mountpoint, own }: Hierarchy): string {
  try {
    accessSync(own, constants.W_OK);
    return `${own} does not hand it down to the groups in it (cgroup.subtree_control)`;
  } catch (error) {
    const { errno = 0 } = error as NodeJS.ErrnoException;
    return `${own}: ${describeErrno(errno)}; ${makeWritable([mountpoint])}`;
  }
}
