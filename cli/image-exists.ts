import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { openStore } from '../runner/image/store.ts';

/** `lamina image exists`. */
export function createCommand(): Command {
  return new Command('exists')
    .description('Exit with 0 where an image is in the store, and with 1 where it is not.')
    .argument('<image>', 'name, id, or beginning of an id')
    .action(async (reference: string) => {
      await enterUserNamespace(true);
      if (!openStore().isThere(reference)) process.exitCode = 1;
    });
}
