import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../command.ts';
import { type Sources } from '../sources.ts';
import { type Site, type Workload, type WorkloadGroup } from '../workload.ts';

/** Two layers with half each of the entries of the directory `entries`. */
function largeDirectory(sources: Sources): Promise<readonly string[]> {
  const { entries } = sources.sizes;
  return sources.once('entries', async (path) => {
    const layers = [join(path, 'upper'), join(path, 'lower')];
    for (const [index, layer] of layers.entries()) {
      const directory = join(layer, 'entries');
      await mkdir(directory, { recursive: true });
      const touch = 'cd "$0" && seq -f "entry-%.0f" "$1" 2 "$2" | xargs touch';
      await run(['sh', '-c', touch, directory, `${index + 1}`, `${entries}`]);
    }
    return layers;
  });
}

const list = (site: Site): Promise<void> => site.run('ls', '-lU', join(site.root, 'entries'));

/** One large directory. */
export const directories: WorkloadGroup = ({ sizes: { entries } }): Workload[] => {
  const common = { lowers: largeDirectory, operations: entries, measure: list };
  return [
    { ...common, name: 'directory-cold', description: `ls -l of a merged directory of ${entries} entries`, cold: true },
    { ...common, name: 'directory-warm', description: 'the same again', prepare: list },
    {
      ...common,
      name: 'directory-names',
      description: 'its names alone, read once',
      measure: (site) => site.run('ls', '-f', join(site.root, 'entries')),
    },
  ];
};
