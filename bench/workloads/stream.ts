import { join } from 'node:path';
import { LARGE_MEBIBYTES, type Sources } from '../sources.ts';
import { type Site, type Workload } from '../workload.ts';

const lowers = async (sources: Sources): Promise<string[]> => [await sources.largeFile()];

const read = (site: Site): Promise<void> => site.run('dd', `if=${join(site.root, 'large')}`, 'of=/dev/null', 'bs=1M');

/** One large file. */
export const STREAM: readonly Workload[] = [
  {
    name: 'write',
    description: `dd of ${LARGE_MEBIBYTES} MiB into a new file, without fsync`,
    lowers,
    measure: (site) =>
      site.run('dd', 'if=/dev/zero', `of=${join(site.root, 'new')}`, 'bs=1M', `count=${LARGE_MEBIBYTES}`),
  },
  { name: 'read-cold', description: `dd of a lower file of ${LARGE_MEBIBYTES} MiB`, lowers, cold: true, measure: read },
  { name: 'read-warm', description: 'the same again', lowers, prepare: read, measure: read },
];
