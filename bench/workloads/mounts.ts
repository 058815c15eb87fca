import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { run } from '../command.ts';
import { parseMemory } from '../process-usage.ts';
import { type Sources } from '../sources.ts';
import { type Reading, type Site, type Workload, type WorkloadGroup } from '../workload.ts';
import { searchLayers } from './layers.ts';

const MANY = 100;
const KIBIBYTE = 1024;

/** What the daemon has in memory now, bytes. */
function residentBytes({ daemon }: Site): number {
  if (daemon === undefined) throw new Error('no daemon serves this mount');
  return parseMemory(readFileSync(`/proc/${daemon}/status`, 'utf8'), 'VmRSS') * KIBIBYTE;
}

async function memoryOfMount(site: Site): Promise<Reading> {
  await site.run('ls', site.root);
  const node = await site.capture(process.execPath, '-e', 'console.log(process.memoryUsage.rss())');
  return { value: residentBytes(site), details: { 'node alone': Number(node) } };
}

const PER_DIRECTORY = 100;

/** Empty files enough that what a daemon takes by the way is little beside what it takes for them. */
function manyFiles(sources: Sources): Promise<readonly string[]> {
  return sources.once('inodes', async (path) => {
    const fill = 'mkdir "$1" && cd "$1" && printf "a-file-of-many-%s\\n" "$@" | xargs touch';
    const all = 'mkdir -p "$0" && cd "$0" && seq "$1" | xargs -n "$2" sh -c "$3" sh';
    await run(['sh', '-c', all, join(path, 'inodes'), `${sources.sizes.inodes}`, `${PER_DIRECTORY}`, fill]);
    return [path];
  });
}

async function memoryPerInode(site: Site): Promise<Reading> {
  const before = residentBytes(site);
  await site.run('find', join(site.root, 'inodes'), '-printf', '%s\\n');
  // At least a byte, as a ratio is made of it; a collection may have given some back.
  return { value: Math.max(1, (residentBytes(site) - before) / site.sources.sizes.inodes) };
}

async function cachedBytes(): Promise<number> {
  return parseMemory(await readFile('/proc/meminfo', 'utf8'), 'Cached') * KIBIBYTE;
}

/** Reads one file through two mounts. What mincore says of each would count pages twice that passthrough shares. */
async function cacheCost(site: Site): Promise<Reading> {
  const second = await site.mountSecond();
  try {
    const before = await cachedBytes();
    for (const root of [site.root, second.root]) await site.run('cat', join(root, 'large'));
    const bytes = site.sources.sizes.shared * KIBIBYTE * KIBIBYTE;
    return { value: Math.max(0.01, (await cachedBytes()) - before) / bytes };
  } finally {
    await second.unmount();
  }
}

async function mountOften(site: Site, times: number): Promise<void> {
  for (let count = 0; count < times; count++) await site.mountOnce();
}

/** Mounts themselves, and what they cost in memory. */
export const mounts: WorkloadGroup = ({ sizes }): Workload[] => [
  {
    name: 'mount',
    description: `${sizes.mounts} times mount, read-only in the background, and umount`,
    mountsItself: true,
    measure: (site) => mountOften(site, sizes.mounts),
  },
  {
    name: `mount-${MANY}`,
    description: `the same with ${MANY} layers`,
    mountsItself: true,
    lowers: (sources) => searchLayers(sources, MANY),
    measure: (site) => mountOften(site, sizes.mounts),
  },
  {
    name: `memory-${MANY}`,
    description: `memory of the daemon with ${MANY} layers, after ls`,
    unit: 'bytes',
    needsDaemon: true,
    lowers: (sources) => searchLayers(sources, MANY),
    measure: memoryOfMount,
  },
  {
    name: 'memory-inode',
    description: `memory that the daemon takes for each of ${sizes.inodes} files found, in directories of ${PER_DIRECTORY}`,
    unit: 'bytes',
    needsDaemon: true,
    lowers: manyFiles,
    measure: memoryPerInode,
  },
  {
    name: 'page-cache',
    description: `page cache that a file of ${sizes.shared} MiB takes when it is read through two mounts, times its size`,
    unit: 'times',
    cold: true,
    lowers: async (sources) => [await sources.largeFile(sizes.shared)],
    measure: cacheCost,
  },
];
