import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasProgram } from '../command.ts';
import { type Site, type Workload, type WorkloadGroup } from '../workload.ts';

const BYTES = 16 << 10;
const TRANSACTIONS_PER_FILE = 4;

/** Syncs each file before it closes it. */
async function fsMark(site: Site, files: number): Promise<void> {
  const directory = join(site.root, 'marks');
  await mkdir(directory);
  // It takes no path of more than 40 bytes, and leaves its log where it is started.
  await symlink(directory, join(site.spare, 'marks'));
  const start = 'cd "$0" && exec fs_mark -d marks -n "$1" -s "$2" -S 1 -k';
  await site.run('sh', '-c', start, site.spare, `${files}`, `${BYTES}`);
}

async function postmark(site: Site, files: number): Promise<void> {
  const script = join(site.spare, 'postmark');
  const directory = join(site.root, 'mail');
  await mkdir(directory);
  const transactions = files * TRANSACTIONS_PER_FILE;
  const settings = { location: directory, number: files, transactions, subdirectories: 10, seed: 42 };
  const commands = Object.entries(settings).map(([name, value]) => `set ${name} ${value}\n`);
  await writeFile(script, `${commands.join('')}run\nquit\n`);
  const told = await site.capture('postmark', script);
  // It fails in words alone.
  if (!/^Data:$/m.test(told)) throw new Error(`postmark: ${told.trim().split('\n').at(-1) ?? 'says nothing'}`);
}

/** Benchmarks of filesystems that are about small files. */
export const marks: WorkloadGroup = ({ sizes }): Workload[] => [
  {
    name: 'fs-mark',
    description: `fs_mark with ${sizes.synced} files of ${BYTES >> 10} KiB, each synced before it is closed`,
    operations: sizes.synced,
    missing: async () => ((await hasProgram('fs_mark')) ? undefined : 'apt-get install fsmark'),
    measure: (site) => fsMark(site, sizes.synced),
  },
  {
    name: 'postmark',
    description: `postmark with ${sizes.small} files and ${sizes.small * TRANSACTIONS_PER_FILE} transactions`,
    operations: sizes.small * TRANSACTIONS_PER_FILE,
    removes: true,
    missing: async () => ((await hasProgram('postmark')) ? undefined : 'apt-get install postmark'),
    measure: (site) => postmark(site, sizes.small),
  },
];
