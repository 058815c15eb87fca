import { Command } from 'commander';
import { ContainerStore } from '../runner/container/container-store.ts';
import { containerFilter } from '../runner/container/filters.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { parseFilters } from '../runner/image/filters.ts';
import { openStore } from '../runner/image/store.ts';
import { confirm } from './confirm.ts';
import { removeEnded } from './container-prune.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';
import { removalLines, warnOfDamage } from './rmi.ts';
import { collect } from './container-flags/collect.ts';

interface Options {
  readonly all?: true;
  readonly force?: true;
  readonly filter: readonly string[];
  readonly volumes?: true;
}

/** `lamina system prune`. */
export function createCommand(): Command {
  return new Command('prune')
    .description('Remove ended containers, images that none uses, and what killed processes left.')
    .option('-a, --all', 'all images that no container uses, not only those without a name')
    .option('-f, --force', 'do not ask')
    .option('--filter <key=value>', 'only some: until=24h, label=NAME[=VALUE]; can be repeated', collect, [])
    .option('--volumes', 'also volumes without a name of their own that no container has then')
    .action(prune);
}

const FILTER = /^(?:until=|label!?=)/;

async function prune({ all, force, filter, volumes }: Options): Promise<void> {
  await enterUserNamespace(true);
  const strange = filter.find((text) => !FILTER.test(text));
  if (strange !== undefined) throw new Error(`filter ${JSON.stringify(strange)} is none of until=, label= and label!=`);
  // As docker has it: how old a volume is says nothing of when it was last used.
  if (volumes === true && filter.some((text) => text.startsWith('until='))) {
    throw new Error('filter until= does not go with --volumes: prune them by themselves, "lamina volume prune"');
  }
  const images = all === true ? 'images that no container uses then' : 'dangling images';
  const alsoVolumes = volumes === true ? ', and all anonymous volumes that no container has then' : '';
  const warning = `This will remove all containers that have ended, with all that they changed, and all ${images}${alsoVolumes}.`;
  if (force !== true && !(await confirm(warning))) return;
  const store = openStore();
  const isWanted = parseFilters(filter, store);
  const containers = new ContainerStore(store.root, (id) => store.release(id));
  const { ids, bytes } = await removeEnded(
    containers,
    containerFilter(filter, containers.list(), () => store),
  );
  containers.sweep();
  if (ids.length > 0) print(`Deleted Containers:\n${ids.join('\n')}\n\n`);
  const { removed, collected } = store.prune((image) => (all === true || image.names.length === 0) && isWanted(image));
  const lines = removed.flatMap(removalLines);
  if (lines.length > 0) print(`Deleted Images:\n${lines.join('\n')}\n\n`);
  const unused = volumes === true ? await removeVolumes(store.root, filter) : 0;
  print(`Total reclaimed space: ${humanSize(bytes + collected.bytes + unused)}\n`);
  warnOfDamage(collected.damaged);
}

/** Answers the bytes that they held. */
async function removeVolumes(root: string, filter: readonly string[]): Promise<number> {
  const { VolumeStore } = await import('../runner/container/volume/volume-store.ts');
  const { removeUnused } = await import('./volume-prune.ts');
  const { volumeFilter } = await import('./volume-rows.ts');
  const volumes = new VolumeStore(root);
  const isWanted = volumeFilter(filter, volumes);
  const { names, bytes } = removeUnused(volumes, (volume) => volume.isAnonymous && isWanted(volume));
  if (names.length > 0) print(`Deleted Volumes:\n${names.join('\n')}\n\n`);
  return bytes;
}
