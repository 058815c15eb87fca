import { join } from 'node:path';
import { ARCHIVE_FILES } from '../sources.ts';
import { type Site, type Workload } from '../workload.ts';

async function unpack(site: Site): Promise<void> {
  await site.run('tar', '-C', site.root, '-xf', await site.sources.archive());
}

/** Making and removing many files. */
export const TREES: readonly Workload[] = [
  {
    name: 'untar',
    description: `tar -x of ${ARCHIVE_FILES} small files`,
    // Makes the archive, and reads it into the page cache.
    prepare: async (site) => site.run('cat', await site.sources.archive()),
    measure: unpack,
  },
  {
    name: 'rm',
    description: 'rm -rf of them',
    prepare: unpack,
    measure: (site) => site.run('rm', '-r', join(site.root, 'tree')),
  },
];
