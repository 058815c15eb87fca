import { Command } from 'commander';
import { updateContainer } from '../runner/container/cgroup/update.ts';
import { parseRestartPolicy } from '../runner/container/options/lifecycle.ts';
import { type LimitFlags } from '../runner/container/options/limits.ts';
import { addLimitFlags } from './container-flags/resources.ts';
import { eachContainer } from './each-container.ts';

interface Flags extends LimitFlags {
  readonly restart?: string;
}

async function act(references: readonly string[], { restart: policy, ...limits }: Flags): Promise<void> {
  const restart = policy === undefined ? undefined : parseRestartPolicy(policy);
  if (restart === undefined && Object.keys(limits).length === 0) {
    throw new Error('what is to be changed? See lamina update --help');
  }
  await eachContainer(references, (container) => updateContainer(container, { limits, restart }));
}

/** `lamina update`. */
export function createCommand(): Command {
  const command = new Command('update')
    .description(
      'Change limits and the restart policy of containers, at once where they run, and for when they are started again.',
    )
    .argument('<container...>', 'names, ids, or first digits of ids')
    .option('--restart <policy>', 'start it again when it ends: no, on-failure[:N], always, unless-stopped');
  return addLimitFlags(command).action(act);
}
