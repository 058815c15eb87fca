import { Command } from 'commander';
import { type Container, liveStatus } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { removeContainer } from '../runner/container/remove.ts';
import { treeSize } from '../runner/container/tree-size.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { parseFilters, parseMoment } from '../runner/image/filters.ts';
import { openStore } from '../runner/image/store.ts';
import { complain, messageOf } from './complain.ts';
import { confirm } from './confirm.ts';
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
    .option(
      '--filter <key=value>',
      'only some: until=24h, label=NAME[=VALUE] (of images); can be repeated',
      collect,
      [],
    )
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
  const { ids, bytes } = await removeEnded(containers, filter);
  containers.sweep();
  if (ids.length > 0) print(`Deleted Containers:\n${ids.join('\n')}\n\n`);
  const { removed, collected } = store.prune((image) => (all === true || image.names.length === 0) && isWanted(image));
  const lines = removed.flatMap(removalLines);
  if (lines.length > 0) print(`Deleted Images:\n${lines.join('\n')}\n\n`);
  print(`Total reclaimed space: ${humanSize(bytes + collected.bytes)}\n`);
  warnOfDamage(collected.damaged);
}

async function removeEnded(
  containers: ContainerStore,
  filters: readonly string[],
): Promise<{ readonly ids: string[]; readonly bytes: number }> {
  const ids: string[] = [];
  let bytes = 0;
  for (const container of containers.list().filter((one) => hasEnded(one) && isLike(one, filters))) {
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

/** Containers have no labels. */
function isLike({ config }: Container, filters: readonly string[]): boolean {
  return filters.every((filter) => {
    const [key, value] = [filter.replace(/=.*$/s, ''), filter.replace(/^[^=]*=/, '')];
    return key === 'until' ? Date.parse(config.created) < parseMoment(value) : key === 'label!';
  });
}

function hasEnded(container: Container): boolean {
  return ['exited', 'dead'].includes(liveStatus(container.readState()));
}
