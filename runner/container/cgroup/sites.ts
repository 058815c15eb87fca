import { dirname, join, normalize, resolve } from 'node:path';
import { pathIn } from '../../../fs/sys/path-in.ts';
import { type Hierarchy, isBelow } from './hierarchies.ts';

/** Where the groups of containers are made in a hierarchy. */
export interface Site {
  readonly hierarchy: Hierarchy;
  /** Directories that may hold them, the best first. */
  readonly parents: readonly string[];
}

const PARENT = 'lamina';

// What is made for a container; of the others, such as net_cls and perf_event, none limits or tells anything of it.
const CONTROLLERS: ReadonlySet<string> = new Set([
  'cpu',
  'cpuacct',
  'cpuset',
  'memory',
  'pids',
  'blkio',
  'devices',
  'freezer',
]);

/** @param cgroupParent a path from the hierarchy's root. */
export function sitesOf(hierarchies: readonly Hierarchy[], cgroupParent: string | undefined): Site[] {
  const used = hierarchies.filter(
    ({ version, controllers }) => version === 2 || controllers.some((name) => CONTROLLERS.has(name)),
  );
  return used.map((hierarchy) => ({ hierarchy, parents: parentsIn(hierarchy, cgroupParent) }));
}

/** Root's containers have a place at the top, as those of docker and podman; where it is closed, it is below our own. */
function parentsIn({ mountpoint, own }: Hierarchy, cgroupParent: string | undefined): string[] {
  if (cgroupParent !== undefined) return [resolve(join(mountpoint, normalize(`/${cgroupParent}`)))];
  return [...new Set([pathIn(mountpoint, PARENT), pathIn(own, PARENT)])];
}

/** A directory and those above it, down from the top of the hierarchy. */
export function pathFrom(mountpoint: string, directory: string): string[] {
  const path: string[] = [directory];
  for (let at = directory; at !== mountpoint && isBelow(at, mountpoint);) {
    at = dirname(at);
    path.unshift(at);
  }
  return path;
}
