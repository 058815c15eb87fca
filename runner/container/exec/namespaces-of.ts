import { existsSync, openSync, readFileSync, readlinkSync } from 'node:fs';
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUTS,
} from '../../../fs/sys/namespaces.ts';
import type { EnteredNamespaces } from '../user-namespace/launch.ts';

// linux/capability.h.
const CAP_SYS_CHROOT = 18n;

// By their names in /proc/PID/ns.
const NAMESPACES: readonly (readonly [name: string, flag: number])[] = [
  ['mnt', CLONE_NEWNS],
  ['uts', CLONE_NEWUTS],
  ['ipc', CLONE_NEWIPC],
  ['net', CLONE_NEWNET],
  ['pid', CLONE_NEWPID],
  ['cgroup', CLONE_NEWCGROUP],
];

/** Flags of those namespaces of a process that this one is not in: to enter one's own is refused without privileges. */
export function foreignNamespaces(pid: number): number {
  const foreign = NAMESPACES.filter(([name]) => namespaceOf(pid, name) !== namespaceOf('self', name));
  return foreign.reduce((flags, [, flag]) => flags | flag, 0);
}

/**
 * Whether a container's root is a plain chroot, where its processes are denied CAP_SYS_CHROOT: one that may call
 * chroot(2) by itself has a root that can be anywhere, and counts for nothing.
 */
export function isInPlainChroot(pid: number): boolean {
  if (readlinkSync(`/proc/${pid}/root`) === '/') return false;
  const bounding = /^CapBnd:\s+([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '';
  return ((BigInt(`0x${bounding || 'f'.repeat(16)}`) >> CAP_SYS_CHROOT) & 1n) === 0n;
}

/** Those namespaces of a process that no process of several threads can enter, where they are not our own. */
export function openEntered(pid: number): EnteredNamespaces {
  return { users: openForeign(pid, 'user'), time: openForeign(pid, 'time') };
}

function openForeign(pid: number, name: string): number | undefined {
  // Before Linux 5.6 there are no namespaces of time.
  if (!existsSync(`/proc/${pid}/ns/${name}`)) return undefined;
  return namespaceOf(pid, name) === namespaceOf('self', name) ? undefined : openSync(`/proc/${pid}/ns/${name}`, 'r');
}

function namespaceOf(pid: number | 'self', name: string): string {
  return readlinkSync(`/proc/${pid}/ns/${name}`);
}
