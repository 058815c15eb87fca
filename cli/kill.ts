import { Command } from 'commander';
import { signalNumber } from '../runner/container/signals.ts';
import { ask } from '../runner/container/supervisor/control-client.ts';
import { eachContainer } from './each-container.ts';

async function act(references: readonly string[], flags: { readonly signal: string }): Promise<void> {
  const signal = signalNumber(flags.signal);
  await eachContainer(references, (container) => ask(container, { do: 'signal', signal }));
}

/** `lamina kill`. */
export function createCommand(): Command {
  return new Command('kill')
    .description('Send a signal to the first process of containers that run.')
    .argument('<container...>', 'names, ids, or first digits of ids')
    .option('-s, --signal <signal>', 'a name or a number', 'KILL')
    .action(act);
}
