import { Command } from 'commander';
import { waitForEnd } from '../runner/container/wait.ts';
import { complain, messageOf } from './complain.ts';
import { findContainer } from './each-container.ts';
import { print } from './print.ts';

async function act(references: readonly string[]): Promise<void> {
  const ends = references.map(async (reference) => waitForEnd(findContainer(reference)));
  for (const outcome of await Promise.allSettled(ends)) {
    if (outcome.status === 'fulfilled') {
      print(`${outcome.value}\n`);
      continue;
    }
    complain(messageOf(outcome.reason));
    process.exitCode = 1;
  }
}

/** `lamina wait`. */
export function createCommand(): Command {
  return new Command('wait')
    .description('Wait until containers do not run any more, and print their exit codes.')
    .argument('<container...>', 'names, ids, or first digits of ids')
    .action(act);
}
