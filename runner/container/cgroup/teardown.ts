import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { EBUSY, ENOENT } from '../../../fs/sys/errno.ts';
import { killProcess } from '../kill-process.ts';
import { processesIn, removeGroup, writeControl } from './files.ts';
import { freeze, thaw } from './freezer.ts';
import { type GroupRecord, unifiedOf } from './group.ts';

// What was killed is gone when its memory is given back and its files are closed.
const PATIENCE_MILLISECONDS = 10_000;
const POLL_MILLISECONDS = 5;

/**
 * Kills what is left in a container's group and removes the group.
 *
 * @throws where something does not end.
 */
export async function removeGroups(record: GroupRecord): Promise<void> {
  if (remove(record) === undefined) return;
  await killAll(record);
  const deadline = Date.now() + PATIENCE_MILLISECONDS;
  for (let left = remove(record); left !== undefined; left = remove(record)) {
    if (Date.now() > deadline)
      throw new Error(`the control group ${left} cannot be removed: processes in it do not end`);
    await pause();
  }
}

/** The first directory that is still there. */
function remove({ directories }: GroupRecord): string | undefined {
  return directories.map(({ path }) => path).find((path) => !removeTree(path));
}

function removeTree(path: string): boolean {
  const removed = removeGroup(path);
  if (removed === 0 || removed === -ENOENT) return true;
  if (removed !== -EBUSY) return false;
  for (const below of groupsIn(path)) removeTree(below);
  return removeGroup(path) === 0;
}

/** Groups that a privileged container has made in its own. */
function groupsIn(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(path, name));
  } catch {
    return [];
  }
}

/** Kills all processes of a container's group, at once where the kernel can (Linux 5.14). */
async function killAll(record: GroupRecord): Promise<void> {
  const unified = unifiedOf(record);
  if (unified !== undefined && writeControl(unified.path, 'cgroup.kill', '1') === 0) {
    // Frozen by version 1 they are not even killed.
    thaw(record);
    return;
  }
  await killOneByOne(record);
}

async function killOneByOne(record: GroupRecord): Promise<void> {
  const deadline = Date.now() + PATIENCE_MILLISECONDS;
  for (let pids = allProcesses(record); pids.length > 0; pids = allProcesses(record)) {
    if (Date.now() > deadline) return;
    // Held still, they start no others meanwhile.
    await freeze(record).catch(() => undefined);
    for (const pid of allProcesses(record)) killProcess(pid);
    thaw(record);
    await pause();
  }
}

/** Processes of a container's groups and of all groups in them. */
export function allProcesses({ directories }: GroupRecord): number[] {
  const list = (path: string): number[] => [...processesIn(path), ...groupsIn(path).flatMap(list)];
  return [...new Set(directories.flatMap(({ path }) => list(path)))];
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
}
