import { accessSync, constants, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { findHierarchies, ownView } from '../container/cgroup/hierarchies.ts';
import { type Site, sitesOf } from '../container/cgroup/sites.ts';
import { type Check, no, partly, yes } from './check.ts';

const DELEGATE =
  'log in by systemd with cgroup v2 (loginctl show-user), or run: systemd-run --user --scope -p Delegate=yes lamina ...';

/** Where containers get control groups, without which nothing is limited. */
export function checkCgroups(isRootless: boolean): Check {
  const name = 'control groups';
  const sites = sitesOf(findHierarchies(ownView()), undefined);
  if (sites.length === 0) return no(name, 'none are mounted: containers run without limits', mountAdvice());
  const open = sites.filter(isOpen);
  const detail = `${describe(open)}${open.length < sites.length ? `; closed to you: ${describe(sites.filter((site) => !open.includes(site)))}` : ''}`;
  if (open.length === sites.length) return yes(name, detail);
  const remedy = isRootless ? DELEGATE : 'mount them writable: mount -o remount,rw /sys/fs/cgroup';
  return open.length === 0
    ? no(name, `${detail}: containers run without limits`, remedy)
    : partly(name, detail, remedy);
}

function mountAdvice(): string {
  return 'as root: mount -t cgroup2 none /sys/fs/cgroup';
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
