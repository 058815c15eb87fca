import { Command } from 'commander';
import { updateContainer } from '../runner/container/cgroup/update.ts';
import { type LimitFlags } from '../runner/container/options/limits.ts';
import { addLimitFlags } from './container-flags/resources.ts';
import { eachContainer } from './each-container.ts';

async function act(references: readonly string[], flags: LimitFlags): Promise<void> {
  if (Object.keys(flags).length === 0) throw new Error('which limits? See lamina update --help');
  await eachContainer(references, (container) => updateContainer(container, flags));
}

/** `lamina update`. */
export function createCommand(): Command {
  const command = new Command('update')
    .description('Change limits of containers, at once where they run, and for when they are started again.')
    .argument('<container...>', 'names, ids, or first digits of ids');
  return addLimitFlags(command).action(act);
}
