import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Sources } from '../sources.ts';
import { type Site, type Workload, type WorkloadGroup } from '../workload.ts';
import { latencyDuring } from './latency.ts';

const withSmallFiles = async (sources: Sources): Promise<string[]> => [
  await sources.smallFiles(),
  ...(await sources.image()),
];

// Nobody's id: every owner changes.
const OWNER_ID = 12345;
const DOCUMENTS = 'usr/share/doc';

const countDocuments = async (site: Site): Promise<number> =>
  (await site.capture('find', join(site.root, DOCUMENTS), '-printf', '.')).length;

/** A user namespace may have one id only. */
async function ownerMissing(): Promise<string | undefined> {
  const map = await readFile('/proc/self/uid_map', 'utf8');
  const ids = map
    .trim()
    .split('\n')
    .map((line) => Number(line.trim().split(/\s+/)[2]));
  return ids.some((length) => length > OWNER_ID) ? undefined : 'this user namespace has no other ids (/etc/subuid)';
}

/** Changing files of the lower layers. */
export const copyUp: WorkloadGroup = ({ sizes }): Workload[] => [
  {
    name: 'chown',
    description: `chown -R of ${DOCUMENTS} in the image`,
    missing: ownerMissing,
    operations: countDocuments,
    measure: (site) => site.run('chown', '-R', `${OWNER_ID}:${OWNER_ID}`, join(site.root, DOCUMENTS)),
  },
  {
    name: 'chmod',
    description: `chmod -R of ${DOCUMENTS} in the image`,
    operations: countDocuments,
    measure: (site) => site.run('chmod', '-R', 'o-r', join(site.root, DOCUMENTS)),
  },
  {
    name: 'copy-up',
    description: `copy-up of ${sizes.small} small files, to each of which a line is added`,
    operations: sizes.small,
    lowers: withSmallFiles,
    measure: (site) => site.run('sh', '-c', 'for file in "$0"/*/*; do echo >>"$file"; done', join(site.root, 'small')),
  },
  {
    name: 'copy-up-large',
    description: `copy-up of one file of ${sizes.copyUp} MiB`,
    lowers: async (sources) => [await sources.largeFile(sizes.copyUp)],
    measure: (site) => site.run('sh', '-c', 'echo >>"$0"', join(site.root, 'large')),
  },
  {
    name: 'stat-latency',
    description: `99th percentile of stat elsewhere during the copy-up of a file of ${sizes.copyUp} MiB`,
    lowers: async (sources) => [await sources.largeFile(sizes.copyUp), await sources.smallFiles()],
    measure: (site) =>
      latencyDuring(site, 'small', () => site.run('sh', '-c', 'echo >>"$0"', join(site.root, 'large'))),
  },
];
