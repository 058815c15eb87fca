import { join } from 'node:path';
import { SMALL_FILES, type Sources } from '../sources.ts';
import { type Workload } from '../workload.ts';

const withSmallFiles = async (sources: Sources): Promise<string[]> => [
  await sources.smallFiles(),
  ...(await sources.image()),
];

// Nobody's id: every owner changes.
const OWNER = '12345:12345';

/** Changing files of the lower layers. */
export const COPY_UP: readonly Workload[] = [
  {
    name: 'chown',
    description: 'chown -R of usr/share/doc in the image',
    measure: (site) => site.run('chown', '-R', OWNER, join(site.root, 'usr/share/doc')),
  },
  {
    name: 'copy-up',
    description: `copy-up of ${SMALL_FILES} small files, each opened for writing`,
    lowers: withSmallFiles,
    measure: (site) => site.run('sh', '-c', 'for file in "$0"/*/*; do : >>"$file"; done', join(site.root, 'small')),
  },
];
