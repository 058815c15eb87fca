import { Command } from 'commander';
import { pauseContainer } from '../runner/container/cgroup/pausing.ts';
import { liveStatus } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { eachContainer } from './each-container.ts';

async function act(references: readonly string[], { all }: { readonly all?: true }): Promise<void> {
  if (references.length === 0 && all !== true) throw new Error('which containers? Name some, or give --all');
  const containers = all === true ? new ContainerStore(storeRoot()).list() : [];
  const running = containers.filter((container) => liveStatus(container.readState()) === 'running');
  await eachContainer(all === true ? running.map(({ id }) => id) : references, pauseContainer);
}

/** `lamina pause`. */
export function createCommand(): Command {
  return new Command('pause')
    .description("Hold all processes of containers still, until unpause. It takes the container's control group.")
    .argument('[container...]', 'names, ids, or first digits of ids')
    .option('-a, --all', 'all that run')
    .action(act);
}
