import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../../fs/sys/constants.ts';
import { EAGAIN, EBUSY, EEXIST, SystemError, check } from '../../../fs/sys/errno.ts';
import { close, flock, LOCK_EX, LOCK_NB, openat } from '../../../fs/sys/file.ts';
import { pathIn } from '../../../fs/sys/path-in.ts';
import { processesIn, makeGroup, readControl, readWords, removeGroup, writeControl } from './files.ts';
import { type GroupDirectory, type GroupRecord } from './group.ts';
import { type Hierarchy, LEAF } from './hierarchies.ts';
import { type Site, pathFrom } from './sites.ts';

// Who holds a container's group has a lock on each of its directories, which the kernel gives back when the holder ends,
// however it ends. A directory that nobody holds and nothing runs in is what a killed one left, and the next to come
// removes it. Each is taken for itself: not everybody sees the same hierarchies.

/** A group that has been made, and the locks that say so. */
export interface MadeGroup {
  readonly record: GroupRecord;
  /** Descriptors. */
  readonly locks: readonly number[];
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
  const locks: number[] = [];
  try {
    for (const { hierarchy, parents } of sites) {
      for (const parent of parents) {
        const lock = makeGroupIn(hierarchy, parent, wanted);
        if (lock < 0) continue;
        locks.push(lock);
        directories.push(describe(hierarchy, pathIn(parent, wanted.id)));
        break;
      }
    }
  } catch (error) {
    for (const { path } of directories) removeGroup(path);
    for (const lock of locks) close(lock);
    throw error;
  }
  return { record: { directories }, locks };
}

/** Answers the lock on the group, or a negative errno. */
function makeGroupIn(hierarchy: Hierarchy, parent: string, { id, isControlled }: Wanted): number {
  const made = makeParents(hierarchy, parent);
  if (made < 0) return made;
  if (hierarchy.version === 2) enableControllers(hierarchy, parent, isControlled);
  else inheritCpus(hierarchy, parent);
  return makeLocked(parent, id);
}

function describe({ version, controllers, mountpoint }: Hierarchy, path: string): GroupDirectory {
  const hierarchy = basename(mountpoint);
  if (version === 2) return { version, controllers: readWords(path, 'cgroup.controllers'), path, hierarchy };
  if (controllers.includes('cpuset')) inheritCpusInto(path);
  return { version, controllers, path, hierarchy };
}

/** Makes a group that may be there; 0, or a negative errno. */
function ensureGroup(path: string): number {
  const made = makeGroup(path);
  return made === -EEXIST ? 0 : made;
}

function makeParents(hierarchy: Hierarchy, parent: string): number {
  for (const path of pathFrom(topOf(hierarchy, parent), parent).slice(1)) {
    const made = ensureGroup(path);
    if (made < 0) return made;
  }
  return 0;
}

/** Above our own group nothing is ours to change, unless the parent is not below it. */
function topOf({ mountpoint, own }: Hierarchy, parent: string): string {
  return parent === own || parent.startsWith(`${own}/`) ? own : mountpoint;
}

/** Makes a group and takes its lock; answers that, or a negative errno. */
function makeLocked(parent: string, id: string): number {
  const guard = openDirectory(parent);
  if (guard < 0) return guard;
  try {
    check(flock(guard, LOCK_EX), `lock ${parent}`);
    sweep(parent);
    const path = pathIn(parent, id);
    const made = ensureGroup(path);
    if (made < 0) return made;
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
function sweep(parent: string): void {
  for (const id of readdirSync(parent).filter((name) => /^[0-9a-f]{64}$/.test(name))) {
    const path = pathIn(parent, id);
    const fd = openDirectory(path);
    if (fd < 0) continue;
    if (flock(fd, LOCK_EX | LOCK_NB) === 0) removeGroup(path);
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
    writeControl(path, file, readControl(dirname(path), file) ?? '');
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
  if (ensureGroup(leaf) < 0) return;
  for (let round = 0; round < ROUNDS; round += 1) {
    const processes = processesIn(own);
    if (processes.length === 0) return;
    for (const pid of processes) writeControl(leaf, 'cgroup.procs', String(pid));
  }
}
