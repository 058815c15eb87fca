import { Command } from 'commander';
import { ContainerStore } from '../runner/container/container-store.ts';
import { storeRoot } from '../runner/image/store-root.ts';

function act(reference: string, name: string): void {
  const containers = new ContainerStore(storeRoot());
  containers.rename(containers.find(reference), name);
}

/** `lamina rename`. */
export function createCommand(): Command {
  return new Command('rename')
    .description('Give a container another name, running or not.')
    .argument('<container>', 'name, id, or first digits of the id')
    .argument('<name>', 'its new name')
    .action(act);
}
