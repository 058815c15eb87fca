import { permittedCapabilities, setCapabilities } from '../../../fs/sys/capability.ts';
import { EINVAL, EPERM, SystemError, check } from '../../../fs/sys/errno.ts';
import {
  PR_CAPBSET_DROP,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_RAISE,
  PR_SET_KEEPCAPS,
  PR_SET_NO_NEW_PRIVS,
  prctl,
  setgroups,
  setresgid,
  setresuid,
} from '../../../fs/sys/process.ts';
import { setLimit } from '../../../fs/sys/resource-limits.ts';
import { SeccompFilter } from '../../../fs/sys/seccomp.ts';
import { EXIT, type LimitSpec, RunError, type SecuritySpec } from '../spec.ts';
import { type Account } from './account.ts';

export const CAP_SYS_CHROOT = 18;
const LAST_POSSIBLE = 63;

/**
 * What a stage gives up, in two steps: `take` makes it the container's user, with no more power in what it looks up than
 * the command will have; `confine`, right before execve, gives up the rest. In between it keeps the capabilities that
 * the second step needs, which are in force only there.
 */
export class Privileges {
  readonly #security: SecuritySpec;
  readonly #filter: SeccompFilter | undefined;
  readonly #bounding: readonly number[];
  readonly #kept: readonly number[];
  #own: readonly number[] = [];
  #inherited: readonly number[] = [];

  /** @param denied capabilities that the container is not to have, whatever it was given. */
  constructor(security: SecuritySpec, denied: readonly number[]) {
    const { bounding, seccomp } = security;
    this.#security = security;
    this.#bounding = bounding.filter((capability) => !denied.includes(capability));
    this.#kept = permittedCapabilities();
    if (seccomp !== undefined) this.#filter = new SeccompFilter(Buffer.from(seccomp.program, 'base64'), seccomp.flags);
  }

  take(account: Account): void {
    const isRoot = account.uid === 0;
    const { ambient } = this.#security;
    // For root the kernel itself makes all of the bounding set the command's own.
    this.#inherited = isRoot ? [] : ambient.filter((capability) => this.#bounding.includes(capability));
    this.#own = isRoot ? this.#bounding : this.#inherited;
    dropBoundingSet(this.#bounding);
    check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL), 'clear the ambient capabilities');
    check(prctl(PR_SET_KEEPCAPS, 1), 'keep the capabilities over a change of user');
    changeIds(account, this.#security.groups.keep);
    check(setCapabilities(this.#sets(this.#own, this.#kept)), 'limit the capabilities');
    for (const capability of this.#inherited) {
      check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability), `pass on capability ${capability}`);
    }
  }

  /**
   * Where the command may gain privileges, only who has CAP_SYS_ADMIN may install a filter, which then sees how that is
   * given up; else it is the very last step, so that a filter need not allow more than execve.
   */
  confine(): void {
    check(setCapabilities(this.#sets(this.#kept, this.#kept)), 'use the capabilities for the last time');
    for (const limit of this.#security.limits) applyLimit(limit);
    const { noNewPrivileges } = this.#security;
    if (!noNewPrivileges) this.#install();
    check(setCapabilities(this.#sets(this.#own, this.#own)), 'limit the capabilities');
    if (!noNewPrivileges) return;
    check(prctl(PR_SET_NO_NEW_PRIVS, 1), 'set no_new_privs');
    this.#install();
  }

  #sets(effective: readonly number[], permitted: readonly number[]) {
    return { effective, permitted, inheritable: this.#inherited };
  }

  #install(): void {
    if (this.#filter === undefined) return;
    const installed = this.#filter.install();
    const none =
      'the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER): --security-opt seccomp=unconfined does without';
    if (installed === -EINVAL)
      throw new Error(`cannot install the container's seccomp filter: it is damaged, or ${none}`);
    check(installed, "install the container's seccomp filter");
  }
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

function applyLimit({ name, resource, soft, hard }: LimitSpec): void {
  const set = setLimit(resource, BigInt(soft), BigInt(hard));
  if (set === -EPERM) {
    throw new Error(
      `cannot set the limit ${name} to ${hard}: the hard limit here is lower, and only root may raise it`,
    );
  }
  check(set, `set the limit ${name} to ${soft}:${hard}`);
}

function changeIds({ uid, gid, groups }: Account, keepGroups: boolean): void {
  const grouped = keepGroups ? 0 : setgroups(groups);
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
