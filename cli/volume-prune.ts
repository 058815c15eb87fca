import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { type StoredVolume, VolumeStore } from '../runner/container/volume/volume-store.ts';
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

/** Removes volumes that no container has; answers their names, and the bytes that they held. */
export function removeUnused(
  volumes: VolumeStore,
  isIncluded: (volume: StoredVolume) => boolean,
): { readonly names: string[]; readonly bytes: number } {
  const unused = volumes.list().filter((volume) => isIncluded(volume) && volumes.usersOf(volume).length === 0);
  let bytes = 0;
  for (const volume of unused) {
    bytes += treeSize(volume.data);
    volumes.remove(volume);
  }
  return { names: unused.map(({ name }) => name), bytes };
}

/** `lamina volume prune`. */
export function createCommand(): Command {
  return new Command('prune')
    .description('Remove volumes without a name of their own that no container has.')
    .option('-a, --all', 'also those with names')
    .option('-f, --force', 'do not ask')
    .option('--filter <key=value>', 'only some: label=NAME[=VALUE], label!=NAME[=VALUE]; can be repeated', collect)
    .action(act);
}

async function act({ all, force, filter = [] }: Flags): Promise<void> {
  await enterUserNamespace(true);
  const volumes = new VolumeStore(openStore().root);
  const isWanted = volumeFilter(filter, volumes);
  const what = all === true ? 'all volumes' : 'anonymous volumes';
  if (force !== true && !(await confirm(`This will remove ${what} not used by at least one container.`))) return;
  const { names, bytes } = removeUnused(volumes, (volume) => (all === true || volume.isAnonymous) && isWanted(volume));
  if (names.length > 0) print(`Deleted Volumes:\n${names.join('\n')}\n\n`);
  print(`Total reclaimed space: ${humanSize(bytes)}\n`);
}
