import { limitCapabilities } from '../../../fs/sys/capability.ts';
import { EINVAL, EPERM, SystemError, check } from '../../../fs/sys/errno.ts';
import {
  PR_CAPBSET_DROP,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  prctl,
  setgroups,
  setresgid,
  setresuid,
} from '../../../fs/sys/process.ts';
import { EXIT, RunError } from '../spec.ts';
import { type Account } from './account.ts';

export const CAP_SYS_CHROOT = 18;

// Docker's default set, by the numbers of linux/capability.h.
const DEFAULT_CAPABILITIES: readonly number[] = [
  0, // CAP_CHOWN
  1, // CAP_DAC_OVERRIDE
  3, // CAP_FOWNER
  4, // CAP_FSETID
  5, // CAP_KILL
  6, // CAP_SETGID
  7, // CAP_SETUID
  8, // CAP_SETPCAP
  10, // CAP_NET_BIND_SERVICE
  13, // CAP_NET_RAW
  CAP_SYS_CHROOT,
  27, // CAP_MKNOD
  29, // CAP_AUDIT_WRITE
  31, // CAP_SETFCAP
];

const LAST_POSSIBLE = 63;

/**
 * Becomes the account, with docker's default capabilities as the most that this process and its children can ever
 * have; the inheritable and ambient sets are empty. For an account other than root the kernel itself empties the
 * permitted set when the uid changes.
 *
 * @param denied capabilities of the default set that the container is not to have.
 */
export function dropPrivileges(account: Account, denied: readonly number[]): void {
  const kept = DEFAULT_CAPABILITIES.filter((capability) => !denied.includes(capability));
  dropBoundingSet(kept);
  check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL), 'clear the ambient capabilities');
  changeIds(account);
  check(limitCapabilities(kept), 'limit the capabilities');
}

function dropBoundingSet(kept: readonly number[]): void {
  for (let capability = 0; capability <= LAST_POSSIBLE; capability += 1) {
    if (kept.includes(capability)) continue;
    const dropped = prctl(PR_CAPBSET_DROP, capability);
    // The first number that the kernel does not know is behind the last one.
    if (dropped === -EINVAL) return;
    check(dropped, `drop capability ${capability} from the bounding set`);
  }
}

function changeIds({ uid, gid, groups }: Account): void {
  const grouped = setgroups(groups);
  // A single id's namespace denies setgroups(2) for good: there the groups are the user's own, which it may not drop.
  if (grouped < 0 && !(grouped === -EPERM && groups.length === 0)) {
    throw unmapped('a member of groups', groups.join(), grouped);
  }
  const changedGroup = setresgid(gid);
  if (changedGroup < 0) throw unmapped('group', String(gid), changedGroup);
  const changedUser = setresuid(uid);
  if (changedUser < 0) throw unmapped('user', String(uid), changedUser);
}

function unmapped(kind: string, id: string, errno: number): RunError {
  const why = errno === -EINVAL || errno === -EPERM ? ': the user namespace of the container does not map it' : '';
  return new RunError(`${new SystemError(`become ${kind} ${id}`, errno).message}${why}`, EXIT.cannotInvoke);
}
