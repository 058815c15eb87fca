import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../../fs/sys/constants.ts';
import { EAGAIN, EBUSY, EEXIST, SystemError, check } from '../../../fs/sys/errno.ts';
import { close, flock, LOCK_EX, LOCK_NB, openat } from '../../../fs/sys/file.ts';
import { processesIn, makeGroup, readControl, readWords, removeGroup, writeControl } from './files.ts';
import { type GroupDirectory, type GroupRecord } from './group.ts';
import { type Hierarchy, LEAF } from './hierarchies.ts';
import { type Site, pathFrom } from './sites.ts';

// Who holds a container's group has a lock on its directory, which the kernel gives back when the holder ends, however
// it ends. A group that nobody holds and nothing runs in is what a killed one left, and the next to come removes it.

/** A group that has been made, and the lock that says so. */
export interface MadeGroup {
  readonly record: GroupRecord;
  /** Descriptor; -1 where there is no group. */
  readonly lock: number;
}

/** What of the group is needed. */
export interface Wanted {
  /** Names the group. */
  readonly id: string;
  /** It must have controllers: processes that stand in the way are moved. */
  readonly isControlled: boolean;
}

/** Makes a container's group in each hierarchy where that can be done. */
export function makeGroups(sites: readonly Site[], wanted: Wanted): MadeGroup {
  const directories: GroupDirectory[] = [];
  let lock = -1;
  for (const site of sites) {
    for (const parent of site.parents) {
      if (!makeParents(site.hierarchy, parent)) continue;
      if (site.hierarchy.version === 2) enableControllers(site.hierarchy, parent, wanted.isControlled);
      else inheritCpus(site.hierarchy, parent);
      const path = join(parent, wanted.id);
      if (lock >= 0) {
        if (!isMade(path)) continue;
      } else {
        lock = makeFirst(sites, parent, wanted.id);
        if (lock < 0) continue;
      }
      directories.push(describe(site.hierarchy, path));
      break;
    }
  }
  return { record: { directories }, lock };
}

function describe({ version, controllers, mountpoint }: Hierarchy, path: string): GroupDirectory {
  const hierarchy = basename(mountpoint);
  if (version === 2) return { version, controllers: readWords(path, 'cgroup.controllers'), path, hierarchy };
  if (controllers.includes('cpuset')) inheritCpusInto(path);
  return { version, controllers, path, hierarchy };
}

function isMade(path: string): boolean {
  const made = makeGroup(path);
  return made === 0 || made === -EEXIST;
}

function makeParents(hierarchy: Hierarchy, parent: string): boolean {
  return pathFrom(topOf(hierarchy, parent), parent).slice(1).every(isMade);
}

/** Above our own group nothing is ours to change, unless the parent is not below it. */
function topOf({ mountpoint, own }: Hierarchy, parent: string): string {
  return parent === own || parent.startsWith(`${own}/`) ? own : mountpoint;
}

/** Makes the group whose lock stands for all of a container's; answers the lock, or a negative errno. */
function makeFirst(sites: readonly Site[], parent: string, id: string): number {
  const guard = openDirectory(parent);
  if (guard < 0) return guard;
  try {
    check(flock(guard, LOCK_EX), `lock ${parent}`);
    sweep(sites, parent);
    const path = join(parent, id);
    const made = makeGroup(path);
    if (made < 0 && made !== -EEXIST) return made;
    const lock = check(openDirectory(path), `open ${path}`);
    const locked = flock(lock, LOCK_EX | LOCK_NB);
    if (locked === 0) return lock;
    close(lock);
    if (locked === -EAGAIN) throw new Error(`the control group ${path} is another's: the container is being run`);
    throw new SystemError(`lock ${path}`, locked);
  } finally {
    close(guard);
  }
}

function openDirectory(path: string): number {
  return openat(-1, toBytes(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/** Removes groups of containers whose lamina is gone. One in which something still runs stays for `lamina rm`. */
function sweep(sites: readonly Site[], parent: string): void {
  for (const id of readdirSync(parent).filter((name) => /^[0-9a-f]{64}$/.test(name))) {
    const fd = openDirectory(join(parent, id));
    if (fd < 0) continue;
    if (flock(fd, LOCK_EX | LOCK_NB) === 0) {
      for (const { parents } of sites) for (const other of parents) removeGroup(join(other, id));
    }
    close(fd);
  }
}

/** A group of version 1 has no CPUs and no memory nodes until it is given some, and takes no process. */
function inheritCpus({ controllers, mountpoint }: Hierarchy, parent: string): void {
  if (!controllers.includes('cpuset')) return;
  for (const path of pathFrom(mountpoint, parent).slice(1)) inheritCpusInto(path);
}

function inheritCpusInto(path: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    if (readControl(path, file) !== '') continue;
    writeControl(path, file, readControl(join(path, '..'), file) ?? '');
  }
}

/** Has the groups below a directory of the unified hierarchy controlled by all that its own group may control. */
function enableControllers(hierarchy: Hierarchy, parent: string, isControlled: boolean): void {
  const { own } = hierarchy;
  for (const path of pathFrom(topOf(hierarchy, parent), parent)) {
    const isBusy = enableIn(path);
    if (!isBusy || !isControlled || path !== own) continue;
    vacate(own);
    enableIn(path);
  }
}

/** Whether processes in the group itself stood in the way. */
function enableIn(path: string): boolean {
  const enabled = new Set(readWords(path, 'cgroup.subtree_control'));
  const missing = readWords(path, 'cgroup.controllers').filter((name) => !enabled.has(name));
  // One by one: where one is refused, the others still serve.
  return missing.map((name) => writeControl(path, 'cgroup.subtree_control', `+${name}`)).includes(-EBUSY);
}

// A fork meanwhile leaves a child behind for the next round.
const ROUNDS = 10;

/** A group whose processes are all in groups below it is alone in being allowed to control those. */
function vacate(own: string): void {
  const leaf = join(own, LEAF);
  if (!isMade(leaf)) return;
  for (let round = 0; round < ROUNDS; round += 1) {
    const processes = processesIn(own);
    if (processes.length === 0) return;
    for (const pid of processes) writeControl(leaf, 'cgroup.procs', String(pid));
  }
}
