import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { parseMounts, type MountInfo } from '../../../fs/sys/mountinfo.ts';
import { pathIn } from '../../../fs/sys/path-in.ts';
import { readWords } from './files.ts';

/** A tree of control groups that is mounted here. */
export interface Hierarchy {
  readonly version: 1 | 2;
  /** What it can control; of a named hierarchy of version 1, its name: `name=systemd`. */
  readonly controllers: readonly string[];
  readonly mountpoint: string;
  /** Directory of the group that this process is in, so far as the mount shows it. */
  readonly own: string;
}

/** Where a process sees its control groups; files of /proc, which tests give as they are on other machines. */
export interface CgroupView {
  /** /proc/self/mountinfo. */
  readonly mountinfo: string;
  /** /proc/self/cgroup. */
  readonly cgroup: string;
  /** What lies before mount points; empty but in tests. */
  readonly prefix: string;
}

/** The group that lamina moves processes to whose own group is to have groups below it that are controlled. */
export const LEAF = 'lamina-init';

// Options of a mount that are no controllers; linux kernel/cgroup/cgroup-v1.c.
const OPTIONS: ReadonlySet<string> = new Set([
  'rw',
  'ro',
  'xattr',
  'noprefix',
  'clone_children',
  'none',
  'cpuset_v2_mode',
]);

export function ownView(): CgroupView {
  const read = (file: string): string => readFileSync(`/proc/self/${file}`, 'latin1');
  return { mountinfo: read('mountinfo'), cgroup: read('cgroup'), prefix: '' };
}

/** All hierarchies that are mounted here, the unified one first. A machine may have any number of them, or none. */
export function findHierarchies(view: CgroupView): Hierarchy[] {
  const own = ownGroups(view.cgroup);
  const found = new Map<string, Hierarchy>();
  for (const mount of visibleMounts(view.mountinfo)) {
    const hierarchy = describe(mount, own, view.prefix);
    if (hierarchy === undefined || found.has(mount.device)) continue;
    found.set(mount.device, hierarchy);
  }
  return [...found.values()].sort((one, other) => other.version - one.version);
}

/** Without those that lie under a later mount on the same place. */
function visibleMounts(mountinfo: string): MountInfo[] {
  const mounts = parseMounts(mountinfo);
  return mounts.filter((mount, at) => {
    if (!mount.type.startsWith('cgroup')) return false;
    const later = mounts.slice(at + 1);
    return !later.some(({ mountpoint }) => mount.mountpoint === mountpoint || isBelow(mount.mountpoint, mountpoint));
  });
}

export function isBelow(path: string, directory: string): boolean {
  return path.startsWith(directory === '/' ? '/' : `${directory}/`);
}

function describe(mount: MountInfo, own: ReadonlyMap<string, string>, prefix: string): Hierarchy | undefined {
  const mountpoint = prefix + mount.mountpoint;
  if (mount.type === 'cgroup2') {
    const controllers = readWords(mountpoint, 'cgroup.controllers');
    return { version: 2, controllers, mountpoint, own: ownDirectory(mount, mountpoint, own.get('')) };
  }
  if (mount.type !== 'cgroup') return undefined;
  const controllers = mount.options.filter((option) => !OPTIONS.has(option) && !option.startsWith('release_agent='));
  const key = controllers[0];
  if (key === undefined) return undefined;
  return { version: 1, controllers, mountpoint, own: ownDirectory(mount, mountpoint, own.get(key)) };
}

/** Paths of /proc/self/cgroup by controller, by `name=...`, and by nothing for the unified hierarchy. */
function ownGroups(text: string): Map<string, string> {
  const groups = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    for (const controller of controllers?.split(',') ?? []) groups.set(controller, path ?? '/');
  }
  return groups;
}

/** In a container without a cgroup namespace the mount shows a part of the tree, of which paths are told in full. */
function ownDirectory({ root }: MountInfo, mountpoint: string, path = '/'): string {
  // Outside of the root of our cgroup namespace, it is told of with dots.
  const isShown = isBelow(path, root) && !`${path}/`.startsWith('/../') && !root.startsWith('/..');
  const inside = path.slice(root === '/' ? 1 : root.length + 1);
  const own = isShown && inside !== '' ? pathIn(mountpoint, inside) : mountpoint;
  return basename(own) === LEAF ? dirname(own) : own;
}
