import { join } from 'node:path';
import { type Site, type Workload, type WorkloadGroup } from '../workload.ts';

const read = (site: Site): Promise<void> => site.run('dd', `if=${join(site.root, 'large')}`, 'of=/dev/null', 'bs=1M');

/** One large file. */
export const stream: WorkloadGroup = ({ sizes }): Workload[] => {
  const lowers: Workload['lowers'] = async (sources) => [await sources.largeFile(sizes.stream)];
  const size = `${sizes.stream} MiB`;
  return [
    {
      name: 'write',
      description: `dd of ${size} into a new file, without fsync`,
      lowers,
      measure: (site) =>
        site.run('dd', 'if=/dev/zero', `of=${join(site.root, 'new')}`, 'bs=1M', `count=${sizes.stream}`),
    },
    { name: 'read-cold', description: `dd of a lower file of ${size}`, lowers, cold: true, measure: read },
    { name: 'read-warm', description: 'the same again', lowers, prepare: read, measure: read },
  ];
};
