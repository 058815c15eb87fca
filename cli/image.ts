import { Command } from 'commander';

import { enterUserNamespace } from '../runner/container/userns.ts';
import { inspectImage } from '../runner/image/inspect.ts';
import { openStore } from '../runner/image/store.ts';
import { createCommand as createListCommand } from './images.ts';
import { print } from './print.ts';
import { printableJson } from './printable.ts';
import { createCommand as createRemoveCommand } from './rmi.ts';
import { createCommand as createTagCommand } from './tag.ts';
import { createCommand as createUntagCommand } from './untag.ts';

export function createCommand(): Command {
  const command = new Command('image').description('Work with the images of the store.');
  command.addCommand(createListCommand('ls').alias('list'));
  command
    .command('inspect')
    .description('Print all that is known of images, as a JSON array.')
    .argument('<image...>', 'names, ids or beginnings of ids')
    .action(inspect);
  command.addCommand(createRemoveCommand('rm').alias('remove'));
  command.addCommand(createTagCommand());
  command.addCommand(createUntagCommand());
  return command;
}

async function inspect(references: readonly string[]): Promise<void> {
  await enterUserNamespace(true);
  const store = openStore();
  const described = references.map((reference) => {
    const image = store.describe(reference);
    return inspectImage(image, store.sizeOf(image));
  });
  print(`${printableJson(described, 4)}\n`);
}
