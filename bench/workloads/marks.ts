import { randomBytes } from 'node:crypto';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasProgram } from '../command.ts';
import { type Site, type Workload, type WorkloadGroup } from '../workload.ts';

const BYTES = 16 << 10;
const TRANSACTIONS_PER_FILE = 4;

/** Files written, synced and closed one after the other: what fs_mark does by default, in a loop of our own. */
async function writeSynced(site: Site): Promise<void> {
  const data = randomBytes(BYTES);
  const directory = join(site.root, 'synced');
  await mkdir(directory);
  for (let index = 0; index < site.sources.sizes.synced; index++) {
    const file = await open(join(directory, `file-${index}`), 'wx');
    await file.writeFile(data);
    await file.sync();
    await file.close();
  }
}

async function postmark(site: Site, files: number): Promise<void> {
  const script = join(site.spare, 'postmark');
  const directory = join(site.root, 'mail');
  await mkdir(directory);
  const commands = [`location ${directory}`, `number ${files}`, `transactions ${files * TRANSACTIONS_PER_FILE}`];
  await writeFile(script, [...commands, 'set subdirectories 10', 'seed 42', 'run', 'quit', ''].join('\n'));
  await site.run('postmark', script);
}

/** Benchmarks of filesystems that are about small files. */
export const marks: WorkloadGroup = ({ sizes }): Workload[] => [
  {
    name: 'synced-files',
    description: `${sizes.synced} files of ${BYTES >> 10} KiB, each synced before it is closed, as fs_mark does`,
    operations: sizes.synced,
    measure: writeSynced,
  },
  {
    name: 'postmark',
    description: `postmark with ${sizes.small} files and ${sizes.small * TRANSACTIONS_PER_FILE} transactions`,
    operations: sizes.small * TRANSACTIONS_PER_FILE,
    missing: async () => ((await hasProgram('postmark')) ? undefined : 'apt-get install postmark'),
    measure: (site) => postmark(site, sizes.small),
  },
];
