import { accessSync, constants, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { findHierarchies, ownView } from '../container/cgroup/hierarchies.ts';
import { DELEGATE, MOUNT_CGROUPS, makeWritable } from '../container/cgroup/missing-controller.ts';
import { type Site, sitesOf } from '../container/cgroup/sites.ts';
import { type Check, no, partly, yes } from './check.ts';

/** Where containers get control groups, without which nothing is limited. */
export function checkCgroups(isRootless: boolean): Check {
  const name = 'control groups';
  const sites = sitesOf(findHierarchies(ownView()), undefined);
  if (sites.length === 0) return no(name, 'none are mounted: containers run without limits', MOUNT_CGROUPS);
  const open = sites.filter(isOpen);
  const closed = sites.filter((site) => !open.includes(site));
  const detail = `${describe(open)}${closed.length > 0 ? `; closed to you: ${describe(closed)}` : ''}`;
  if (open.length === sites.length) return yes(name, detail);
  const remedy = isRootless ? DELEGATE : makeWritable(closed.map(({ hierarchy }) => hierarchy.mountpoint));
  return open.length === 0
    ? no(name, `${detail}: containers run without limits`, remedy)
    : partly(name, detail, remedy);
}

function describe(sites: readonly Site[]): string {
  const names = sites.map(({ hierarchy: { version, controllers } }) => {
    const list = controllers.length === 0 ? 'no controllers' : controllers.join(' ');
    return version === 2 ? `v2 (${list})` : list;
  });
  return names.length === 0 ? 'none' : names.join(', ');
}

function isOpen({ parents }: Site): boolean {
  return parents.some((parent) => {
    try {
      accessSync(existsSync(parent) ? parent : dirname(parent), constants.W_OK);
      return true;
    } catch {
      return false;
    }
  });
}
