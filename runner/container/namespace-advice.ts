import { readFileSync } from 'node:fs';
import { SystemError } from '../../fs/sys/errno.ts';
import { unshare } from '../../fs/sys/namespaces.ts';

const PROC_SYS = '/proc/sys';

const SETTINGS: readonly (readonly [name: string, bad: string, remedy: string])[] = [
  ...['user', 'mnt', 'pid', 'net', 'uts', 'ipc', 'cgroup'].map(
    (kind) => [`user.max_${kind}_namespaces`, '0', `sysctl -w user.max_${kind}_namespaces=15000`] as const,
  ),
  ['kernel.unprivileged_userns_clone', '0', 'sysctl -w kernel.unprivileged_userns_clone=1'],
  [
    'kernel.apparmor_restrict_unprivileged_userns',
    '1',
    'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for node that allows userns',
  ],
];

/** What to do where it is not this machine's settings that refuse namespaces. */
export const OUTER_CONTAINER =
  'inside a container, start that one with --privileged, or with --cap-add SYS_ADMIN and a seccomp profile that allows unshare and mount';

/** The commands that set what keeps namespaces from being made here; undefined where no setting does. */
export function settingsAdvice(): string | undefined {
  const remedies = SETTINGS.filter(([name, bad]) => readSetting(name) === bad).map(([, , remedy]) => remedy);
  return remedies.length === 0 ? undefined : `as root: ${remedies.join('; ')}`;
}

/** Whether our root is no mount point. */
export function isChrooted(): boolean {
  const mounts = readFileSync('/proc/self/mountinfo', 'latin1').split('\n');
  return mounts.every((line) => line.split(' ', 5)[4] !== '/');
}

function readSetting(name: string): string | undefined {
  try {
    return readFileSync(`${PROC_SYS}/${name.replaceAll('.', '/')}`, 'latin1').trim();
  } catch {
    return undefined;
  }
}

/** Has this thread in new namespaces. */
export function makeNamespaces(flags: number, attempt: string): void {
  const made = unshare(flags);
  if (made === 0) return;
  const { message } = new SystemError(attempt, made);
  throw new Error(`${message}: ${settingsAdvice() ?? OUTER_CONTAINER}`);
}
