import { join } from 'node:path';
import { hasProgram } from '../command.ts';
import { type Reading, type Site, type Workload, type WorkloadGroup } from '../workload.ts';

interface FioResult {
  readonly jobs: readonly { readonly job_runtime: number }[];
}

const PASSES = 4;
const BLOCK_BYTES = 4096;
const MEBIBYTE = 1 << 20;

async function fio(site: Site, file: string, ...parameters: readonly string[]): Promise<Reading> {
  const fixed = ['--name=job', '--thread', '--output-format=json', '--bs=4k', '--invalidate=0', '--randseed=1'];
  const text = await site.capture('fio', ...fixed, `--filename=${join(site.root, file)}`, ...parameters);
  // Notes come before the document.
  const { jobs } = JSON.parse(text.slice(text.indexOf('{\n'))) as FioResult;
  const milliseconds = jobs[0]?.job_runtime;
  if (milliseconds === undefined) throw new Error('fio says nothing of its job');
  return { value: Math.max(milliseconds, 1) / 1000 };
}

const missing = async (): Promise<string | undefined> =>
  (await hasProgram('fio')) ? undefined : 'apt-get install fio';

const write = (site: Site, file: string, mebibytes: number): Promise<void> =>
  site.run('dd', 'if=/dev/zero', `of=${join(site.root, file)}`, 'bs=1M', `count=${mebibytes}`);

/** Reads and writes of 4 KiB, by fio's own clock. */
export const fioGroup: WorkloadGroup = ({ sizes: { random, synced } }): Workload[] => {
  const size = [`--size=${random}m`, `--io_size=${random * PASSES}m`];
  const lowers: Workload['lowers'] = async (sources) => [await sources.largeFile(random)];
  const prepare = (site: Site): Promise<void> => site.run('cat', join(site.root, 'large'));
  const blocks = (random * PASSES * MEBIBYTE) / BLOCK_BYTES;
  const common = { missing, operations: blocks };
  const reading = { ...common, lowers, prepare };
  return [
    {
      ...reading,
      name: 'random-read',
      description: `fio: ${blocks} reads of 4 KiB in a cached lower file of ${random} MiB`,
      measure: (site) => fio(site, 'large', '--readonly', '--rw=randread', ...size),
    },
    {
      ...reading,
      name: 'mmap-read',
      description: 'fio: the same reads of a mapping',
      measure: (site) => fio(site, 'large', '--readonly', '--ioengine=mmap', '--rw=randread', ...size),
    },
    {
      ...common,
      name: 'random-write',
      description: `fio: ${blocks} writes of 4 KiB in a file of ${random} MiB`,
      prepare: (site) => write(site, 'new', random),
      measure: (site) => fio(site, 'new', '--rw=randwrite', ...size),
    },
    {
      ...common,
      name: 'fsync',
      description: `fio: ${synced} writes of 4 KiB, each followed by fsync`,
      operations: synced,
      prepare: (site) => write(site, 'new', Math.ceil((synced * BLOCK_BYTES) / MEBIBYTE)),
      measure: (site) => fio(site, 'new', '--rw=write', '--fsync=1', `--size=${synced * BLOCK_BYTES}`),
    },
  ];
};
