import { Command } from 'commander';
import { ContainerStore } from '../runner/container/container-store.ts';
import { storeRoot } from '../runner/image/store-root.ts';

/** `lamina container exists`. */
export function createCommand(): Command {
  return new Command('exists')
    .description('Tell by the exit code whether there is a container: 0 where there is, 1 where there is none.')
    .argument('<container>', 'name, id, or first digits of the id')
    .action((reference: string) => {
      if (!new ContainerStore(storeRoot()).has(reference)) process.exitCode = 1;
    });
}
