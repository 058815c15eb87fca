import { join } from 'node:path';
import { type Workload } from '../workload.ts';

const LOOKUPS = 10_000;
const LAYERS = [5, 100];

const SEARCH_LOOP = 'i=0; while [ $i -lt "$1" ]; do [ -e "$0/missing-$i" ]; i=$((i+1)); done';

function missingIn(layers: number): Workload {
  return {
    name: `misses-${layers}`,
    description: `${LOOKUPS} lookups of distinct names that are not there, in ${layers} layers`,
    lowers: (sources) => sources.searchLayers(layers),
    measure: (site) => site.run('sh', '-c', SEARCH_LOOP, join(site.root, 'searched'), `${LOOKUPS}`),
  };
}

/** Names that are not there, as a search path asks for them. */
export const SEARCH: readonly Workload[] = LAYERS.map(missingIn);
