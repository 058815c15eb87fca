import { readdir, readFile } from 'node:fs/promises';
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

/** All that is in the image but device nodes, of which fuse-overlayfs changes neither owner nor mode. */
async function topDirectories(site: Site): Promise<string[]> {
  const names = await readdir(site.root);
  return names.filter((name) => name !== 'dev').map((name) => join(site.root, name));
}

const countFiles = async (site: Site): Promise<number> =>
  (await site.capture('find', ...(await topDirectories(site)), '-printf', '.')).length;

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
    description: 'chown -R of the image, all but its devices: its data is copied, but with metacopy',
    missing: ownerMissing,
    operations: countFiles,
    measure: async (site) => site.run('chown', '-R', `${OWNER_ID}:${OWNER_ID}`, ...(await topDirectories(site))),
  },
  {
    name: 'chmod',
    description: 'chmod -R of it',
    operations: countFiles,
    measure: async (site) => site.run('chmod', '-R', 'o-r', ...(await topDirectories(site))),
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
