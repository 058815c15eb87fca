import { Command } from 'commander';
import { type Container, liveStatus } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { removeContainer } from '../runner/container/remove.ts';
import { treeSize } from '../runner/container/tree-size.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { openStore } from '../runner/image/store.ts';
import { complain, messageOf } from './complain.ts';
import { confirm } from './confirm.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';
import { removalLines, warnOfDamage } from './rmi.ts';

interface Options {
  readonly all?: true;
  readonly force?: true;
}

/** `lamina system prune`. */
export function createCommand(): Command {
  return new Command('prune')
    .description('Remove ended containers, images that none uses, and what killed processes left.')
    .option('-a, --all', 'all images that no container uses, not only those without a name')
    .option('-f, --force', 'do not ask')
    .option('--volumes', 'accepted for the sake of docker: there are no volumes')
    .action(prune);
}

async function prune({ all, force }: Options): Promise<void> {
  await enterUserNamespace(true);
  const images = all === true ? 'images that no container uses then' : 'dangling images';
  const warning = `This will remove all containers that have ended, with all that they changed, and all ${images}.`;
  if (force !== true && !(await confirm(warning))) return;
  const store = openStore();
  const containers = new ContainerStore(store.root, (id) => store.release(id));
  const { ids, bytes } = await removeEnded(containers);
  containers.sweep();
  if (ids.length > 0) print(`Deleted Containers:\n${ids.join('\n')}\n\n`);
  const { removed, collected } = store.prune(({ names }) => all === true || names.length === 0);
  const lines = removed.flatMap(removalLines);
  if (lines.length > 0) print(`Deleted Images:\n${lines.join('\n')}\n\n`);
  print(`Total reclaimed space: ${humanSize(bytes + collected.bytes)}\n`);
  warnOfDamage(collected.damaged);
}

async function removeEnded(containers: ContainerStore): Promise<{ readonly ids: string[]; readonly bytes: number }> {
  const ids: string[] = [];
  let bytes = 0;
  for (const container of containers.list().filter(hasEnded)) {
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

function hasEnded(container: Container): boolean {
  return ['exited', 'dead'].includes(liveStatus(container.readState()));
}
