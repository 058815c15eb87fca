import { type Workload } from '../workload.ts';
import { COPY_UP } from './copy-up.ts';
import { SEARCH } from './search.ts';
import { START } from './start.ts';
import { STREAM } from './stream.ts';
import { TREES } from './trees.ts';
import { WALK } from './walk.ts';

/** Everything that can be measured, in the order in which it is. Names are unique. */
export const WORKLOADS: readonly Workload[] = [...WALK, ...TREES, ...COPY_UP, ...SEARCH, ...STREAM, ...START];
