import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { VolumeStore } from '../runner/container/volume/volume-store.ts';
import { treeSize } from '../runner/container/tree-size.ts';
import { openStore } from '../runner/image/store.ts';
import { confirm } from './confirm.ts';
import { collect } from './container-flags/collect.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';
import { volumeFilter } from './volume-rows.ts';

interface Flags {
  readonly all?: true;
  readonly force?: true;
  readonly filter?: readonly string[];
}

/** `lamina volume prune`. */
export function createCommand(): Command {
  return new Command('prune')
    .description('Remove volumes without a name of their own that no container has.')
    .option('-a, --all', 'also those with names')
    .option('-f, --force', 'do not ask')
    .option('--filter <key=value>', 'only some: label=NAME[=VALUE]; can be repeated', collect)
    .action(act);
}

async function act({ all, force, filter = [] }: Flags): Promise<void> {
  await enterUserNamespace(true);
  const volumes = new VolumeStore(openStore().root);
  const isWanted = volumeFilter(filter, volumes);
  const what = all === true ? 'all volumes' : 'anonymous volumes';
  if (force !== true && !(await confirm(`This will remove ${what} not used by at least one container.`))) return;
  let bytes = 0;
  const removed: string[] = [];
  for (const volume of volumes.list()) {
    if ((all !== true && !volume.isAnonymous) || !isWanted(volume) || volumes.usersOf(volume).length > 0) continue;
    bytes += treeSize(volume.data);
    volumes.remove(volume);
    removed.push(volume.name);
  }
  if (removed.length > 0) print(`Deleted Volumes:\n${removed.join('\n')}\n\n`);
  print(`Total reclaimed space: ${humanSize(bytes)}\n`);
}
