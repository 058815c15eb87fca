import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ground } from '../ground.ts';
import { type Sources } from '../sources.ts';
import { type Workload, type WorkloadGroup } from '../workload.ts';
import { countEntries, find } from './walk.ts';

const LAYERS = [1, 5, 20, 100] as const;
const FILES_PER_LAYER = 20;

const SEARCH_LOOP = 'i=0; while [ $i -lt "$1" ]; do [ -e "$0/missing-$i" ]; i=$((i+1)); done';

/** Layers that all have files of their own in the directory `searched`. */
export function searchLayers(sources: Sources, count: number): Promise<readonly string[]> {
  return sources.once(`search-${count}`, async (path) => {
    const layers = Array.from({ length: count }, (_, index) => join(path, String(index)));
    for (const [index, layer] of layers.entries()) {
      await mkdir(join(layer, 'searched'), { recursive: true });
      const names = Array.from({ length: FILES_PER_LAYER }, (_, file) => `file-${index}-${file}`);
      for (const name of names) await writeFile(join(layer, 'searched', name), name);
    }
    return layers;
  });
}

function missesIn(count: number, lookups: number): Workload {
  return {
    name: `misses-${count}`,
    description: `${lookups} lookups of distinct names that are not there, in ${count} layers`,
    point: { series: 'misses', axis: 'layers', x: count },
    operations: lookups,
    lowers: (sources) => searchLayers(sources, count),
    measure: (site) => site.run('sh', '-c', SEARCH_LOOP, join(site.root, 'searched'), `${lookups}`),
  };
}

const splitOnly = ({ sources }: Ground): Promise<string | undefined> =>
  Promise.resolve(sources.canSplit ? undefined : '--layers are taken as they are; --root can be split');

function findIn(count: number, cold: boolean): Workload {
  const name = cold ? 'find-cold' : 'find-warm';
  return {
    name: `${name}-${count}`,
    description: `find with stat of the same image in ${count} layers${cold ? '' : ', again'}`,
    point: { series: name, axis: 'layers', x: count },
    operations: countEntries,
    missing: splitOnly,
    lowers: (sources) => sources.imageIn(count),
    ...(cold ? { cold } : { prepare: find }),
    measure: find,
  };
}

/** The same work over more and more layers. */
export const layers: WorkloadGroup = ({ sizes }): Workload[] => [
  ...LAYERS.map((count) => missesIn(count, sizes.lookups)),
  ...LAYERS.map((count) => findIn(count, true)),
  ...LAYERS.map((count) => findIn(count, false)),
];
