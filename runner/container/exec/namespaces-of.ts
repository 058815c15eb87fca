import { readlinkSync } from 'node:fs';
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUTS,
} from '../../../fs/sys/namespaces.ts';

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

function namespaceOf(pid: number | 'self', name: string): string {
  return readlinkSync(`/proc/${pid}/ns/${name}`);
}
