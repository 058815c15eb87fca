import { readFileSync } from 'node:fs';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../../fs/sys/constants.ts';
import { close, openat } from '../../../fs/sys/file.ts';
import { SELF, getxattrText } from '../../../fs/sys/xattr.ts';
import { callerUid, isRootless } from '../userns.ts';
import { type Hierarchy, findHierarchies, ownView } from './hierarchies.ts';
import { type Site } from './sites.ts';

/**
 * For an ordinary user, where the groups are systemd's: the group of a scope that it delegates to us, with the process
 * already in it. Undefined where there is no such systemd, or our own group is delegated.
 *
 * @param isNeeded something is to be limited.
 * @throws where that is so, and systemd refuses.
 */
export async function delegatedSite(id: string, pid: number, isNeeded: boolean): Promise<Site | undefined> {
  if (!isRootless()) return undefined;
  const unified = findHierarchies(ownView()).find(({ version }) => version === 2);
  if (unified === undefined || isDelegated(unified)) return undefined;
  const { moveToScope, userManager } = await import('./systemd-scope.ts');
  const uid = callerUid();
  const socket = userManager(uid);
  if (socket === undefined) return undefined;
  try {
    await moveToScope(socket, uid, `lamina-${id}-${pid}.scope`, pid);
  } catch (error) {
    if (!isNeeded) return undefined;
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`systemd at ${socket} gives the container no control group: ${why}`, { cause: error });
  }
  const cgroup = readFileSync(`/proc/${pid}/cgroup`, 'latin1');
  const hierarchy = findHierarchies({ ...ownView(), cgroup }).find(({ version }) => version === 2);
  return hierarchy === undefined ? undefined : { hierarchy, parents: [hierarchy.own] };
}

// systemd marks the groups that it leaves to others (systemd 251).
function isDelegated({ own }: Hierarchy): boolean {
  const fd = openat(-1, toBytes(own), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const mark = getxattrText(fd, SELF, 'user.delegate');
  close(fd);
  return mark === '1';
}
