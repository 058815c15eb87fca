import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { openStore } from '../runner/image/store.ts';
import { nameFor } from './tag.ts';

async function untag(image: string, names: readonly string[]): Promise<void> {
  const full = names.map(nameFor);
  await enterUserNamespace(true);
  openStore().untag(image, full);
}

/** `lamina untag`. */
export function createCommand(): Command {
  return new Command('untag')
    .description('Take names off an image, which stays under its id.')
    .argument('<image>', 'name, id, or beginning of an id')
    .argument('[name...]', 'the names to take off; all where none is given')
    .action(untag);
}
