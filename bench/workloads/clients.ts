import { join } from 'node:path';
import { type Workload, type WorkloadGroup } from '../workload.ts';

const CLIENTS = [1, 2, 4, 8] as const;

// Subdirectories have numbers for names: each client takes those of one remainder, so that all together do the same work.
const SHARE_WORK = `
cd "$0" || exit 1
client=0
while [ $client -lt "$1" ]; do
  (for directory in *; do [ $((directory % $1)) -ne $client ] || tar -cf - "$directory" | cat >/dev/null; done) &
  client=$((client+1))
done
wait`;

function clientsOf(count: number, files: number): Workload {
  return {
    name: `clients-${count}`,
    description: `${files} small files read by ${count} ${count === 1 ? 'client' : 'clients at once, a part each'}`,
    point: { series: 'clients', axis: 'clients', x: count },
    operations: files,
    lowers: async (sources) => [await sources.smallFiles()],
    measure: (site) => site.run('sh', '-c', SHARE_WORK, join(site.root, 'small'), `${count}`),
  };
}

/** The same work by more and more clients. */
export const clients: WorkloadGroup = ({ sizes }): Workload[] => CLIENTS.map((count) => clientsOf(count, sizes.small));
