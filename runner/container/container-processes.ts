import { readdirSync, readlinkSync } from 'node:fs';
import { readGroups } from './cgroup/cgroup.ts';
import { allProcesses } from './cgroup/teardown.ts';
import { type Container } from './container.ts';
import { processesBelow } from './pause.ts';

/**
 * Processes of a container that runs, by their numbers outside: those of its control group, or where it has none, of its
 * pid namespace.
 *
 * @param init its first process.
 */
export function processesOf(container: Container, init: number): number[] {
  const groups = readGroups(container.directory);
  if (groups !== undefined) return allProcesses(groups);
  const namespace = pidNamespaceOf(init);
  // Without a pid namespace of its own there is no more to go by than who was started by whom.
  if (namespace === undefined || namespace === pidNamespaceOf('self')) return processesBelow(init);
  const all = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return all.filter((pid) => pidNamespaceOf(pid) === namespace);
}

function pidNamespaceOf(pid: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}
