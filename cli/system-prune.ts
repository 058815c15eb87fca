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

interface Options {
  readonly all?: true;
  readonly force?: true;
  readonly filter: readonly string[];
}

/** `lamina system prune`. */
export function createCommand(): Command {
  return new Command('prune')
    .description('Remove ended containers, images that none uses, and what killed processes left.')
    .option('-a, --all', 'all images that no container uses, not only those without a name')
    .option('-f, --force', 'do not ask')
    .option('--filter <key=value>', 'only some: until=24h, label=NAME[=VALUE]; can be repeated', collect, [])
    .option('--volumes', 'accepted for the sake of docker: there are no volumes')
    .action(prune);
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

const FILTER = /^(?:until=|label!?=)/;

async function prune({ all, force, filter }: Options): Promise<void> {
  await enterUserNamespace(true);
  const strange = filter.find((text) => !FILTER.test(text));
  if (strange !== undefined) throw new Error(`filter ${JSON.stringify(strange)} is none of until=, label= and label!=`);
  const images = all === true ? 'images that no container uses then' : 'dangling images';
  const warning = `This will remove all containers that have ended, with all that they changed, and all ${images}.`;
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
  print(`Total reclaimed space: ${humanSize(bytes + collected.bytes)}\n`);
  warnOfDamage(collected.damaged);
}
