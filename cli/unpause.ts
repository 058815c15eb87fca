import { Command } from 'commander';
import { isPaused, unpauseContainer } from '../runner/container/cgroup/pausing.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { eachContainer } from './each-container.ts';

async function act(references: readonly string[], { all }: { readonly all?: true }): Promise<void> {
  if (references.length === 0 && all !== true) throw new Error('which containers? Name some, or give --all');
  const paused = all === true ? new ContainerStore(storeRoot()).list().filter(isPaused) : [];
  await eachContainer(all === true ? paused.map(({ id }) => id) : references, unpauseContainer);
}

/** `lamina unpause`. */
export function createCommand(): Command {
  return new Command('unpause')
    .description('Let all processes of paused containers go on.')
    .argument('[container...]', 'names, ids, or first digits of ids')
    .option('-a, --all', 'all that are paused')
    .action(act);
}
