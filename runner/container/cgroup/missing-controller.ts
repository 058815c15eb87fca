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

const NOT_MOUNTED = 'no hierarchy that is mounted has it; as root: mount -t cgroup2 none /sys/fs/cgroup';

function explainDelegation(unified: string | undefined): string {
  if (unified?.includes('.scope/') === true) {
    return 'systemd gives users few; as root, "systemctl edit user@.service" with "[Service] Delegate=yes", and log in anew';
  }
  return 'an ordinary user needs a delegated one, such as "systemd-run --user --scope -p Delegate=yes" gives';
}

function explainHierarchy({ mountpoint, own }: Hierarchy): string {
  try {
    accessSync(own, constants.W_OK);
    return `${own} does not hand it down to the groups in it (cgroup.subtree_control)`;
  } catch (error) {
    const { errno = 0 } = error as NodeJS.ErrnoException;
    const remedy = `mount -o remount,rw ${mountpoint}, or where this is a container, start that one with --privileged`;
    return `${own}: ${describeErrno(errno)}; ${remedy}`;
  }
}
