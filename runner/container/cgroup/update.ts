import { type Container, isLive } from '../container.ts';
import { type RestartPolicy } from '../options/lifecycle.ts';
import { type LimitFlags, parseLimits } from '../options/limits.ts';
import { type Limits } from '../options/resources.ts';
import { readGroups } from './cgroup.ts';
import { setLimits } from './group.ts';

/** What is to be changed of a container. */
export interface ContainerChanges {
  readonly limits: LimitFlags;
  readonly restart?: RestartPolicy | undefined;
}

/**
 * Changes some limits of a container, and when it is started again: at once where it runs, and for every start that
 * follows.
 *
 * @throws where one cannot be set; then those that follow from the same command are not, either.
 */
export function updateContainer(container: Container, { limits: flags, restart }: ContainerChanges): void {
  container.changeOptions((options) => {
    const { resources, lifecycle } = options;
    if (restart !== undefined && restart.name !== 'no' && lifecycle.remove) {
      throw new Error(`container ${container.config.name} runs with --rm, and is not started again`);
    }
    const changed = { ...options, lifecycle: { ...lifecycle, restart: restart ?? lifecycle.restart } };
    if (Object.keys(flags).length === 0) return changed;
    const limits = parseLimits(flags, resources.limits);
    if (resources.cgroups === 'disabled') {
      throw new Error(`container ${container.config.name} runs with --cgroups=disabled and cannot be limited`);
    }
    if (isLive(container.readState())) limitRunning(container, resources.limits, limits);
    return { ...changed, resources: { ...resources, limits } };
  });
}

function limitRunning(container: Container, before: Limits, limits: Limits): void {
  const groups = readGroups(container.directory);
  setLimits(groups ?? { directories: [] }, changedLimits(before, limits));
}

/** What is to be written anew; of what one file or one value holds for several limits, all of them. */
function changedLimits(before: Limits, limits: Limits): Limits {
  const names = Object.keys(limits) as (keyof Limits)[];
  const changed = new Set(names.filter((name) => JSON.stringify(limits[name]) !== JSON.stringify(before[name])));
  for (const together of TOGETHER) {
    if (together.some((name) => changed.has(name))) for (const name of together) changed.add(name);
  }
  return Object.fromEntries(names.filter((name) => changed.has(name)).map((name) => [name, limits[name]]));
}

const TOGETHER: readonly (readonly (keyof Limits)[])[] = [
  ['memory', 'memorySwap'],
  ['cpus', 'cpuPeriod', 'cpuQuota'],
];
