import { Command } from 'commander';
import { isLive } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { type ContainerFilter, containerFilter } from '../runner/container/filters.ts';
import { removeContainer } from '../runner/container/remove.ts';
import { treeSize } from '../runner/container/tree-size.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { openStore } from '../runner/image/store.ts';
import { complain, messageOf } from './complain.ts';
import { confirm } from './confirm.ts';
import { collect } from './container-flags/collect.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';

interface Options {
  readonly force?: true;
  readonly filter?: readonly string[];
}

/** Removes containers that do not run; answers the ids, and the bytes that they had changed. */
export async function removeEnded(
  containers: ContainerStore,
  isIncluded: ContainerFilter,
): Promise<{ readonly ids: string[]; readonly bytes: number }> {
  const ids: string[] = [];
  let bytes = 0;
  for (const container of containers.list()) {
    if (isLive(container.readState()) || !isIncluded(container)) continue;
    const size = treeSize(container.upper);
    try {
      await removeContainer(containers, container, false);
      ids.push(container.id);
      bytes += size;
    } catch (error) {
      complain(messageOf(error));
      process.exitCode = 1;
    }
  }
  return { ids, bytes };
}

async function prune({ force, filter = [] }: Options): Promise<void> {
  await enterUserNamespace(true);
  const unknown = filter.find((text) => !/^(?:until|label!?)=/.test(text));
  if (unknown !== undefined) throw new Error(`filter ${JSON.stringify(unknown)} is none of until, label and label!`);
  if (force !== true && !(await confirm('This will remove all containers that do not run.'))) return;
  const store = openStore();
  const containers = new ContainerStore(store.root, (id) => store.release(id));
  const { ids, bytes } = await removeEnded(
    containers,
    containerFilter(filter, containers.list(), () => store),
  );
  containers.sweep();
  if (ids.length > 0) print(`Deleted Containers:\n${ids.join('\n')}\n\n`);
  print(`Total reclaimed space: ${humanSize(bytes)}\n`);
}

/** `lamina container prune`. */
export function createCommand(): Command {
  return new Command('prune')
    .description('Remove all containers that do not run, with all that they changed.')
    .option('-f, --force', 'do not ask')
    .option(
      '--filter <key=value>',
      'only some: until=24h, label=NAME[=VALUE], label!=NAME[=VALUE]; can be repeated',
      collect,
    )
    .action(prune);
}
