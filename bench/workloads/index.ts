import { type Subject, type Workload, type WorkloadGroup } from '../workload.ts';
import { clients } from './clients.ts';
import { containers } from './containers.ts';
import { copyUp } from './copy-up.ts';
import { directories } from './directories.ts';
import { fioGroup } from './fio.ts';
import { layers } from './layers.ts';
import { marks } from './marks.ts';
import { mounts } from './mounts.ts';
import { projects } from './projects.ts';
import { start } from './start.ts';
import { stream } from './stream.ts';
import { trees } from './trees.ts';
import { walk } from './walk.ts';

const GROUPS: Readonly<Record<string, WorkloadGroup>> = {
  walk,
  trees,
  'copy-ups': copyUp,
  layers,
  stream,
  fio: fioGroup,
  start,
  projects,
  clients,
  directories,
  mounts,
  marks,
  containers,
};

/** A group's name and its workloads. */
export interface NamedGroup {
  readonly name: string;
  readonly workloads: readonly Workload[];
}

/** Everything that can be measured, in the order in which it is. Names are unique over groups and workloads. */
export function createGroups(subject: Subject): NamedGroup[] {
  return Object.entries(GROUPS).map(([name, group]) => ({ name, workloads: group(subject) }));
}
