import { Command } from 'commander';

import { enterUserNamespace } from '../runner/container/userns.ts';
import { inspectImage } from '../runner/image/inspect.ts';
import { openStore } from '../runner/image/store.ts';
import { createCommand as createListCommand } from './images.ts';
import { print } from './print.ts';
import { printableJson } from './printable.ts';

export function createCommand(): Command {
  const command = new Command('image').description('Work with the images of the store.');
  command.addCommand(createListCommand('ls').alias('list'));
  command
    .command('inspect')
    .description('Print all that is known of images, as a JSON array.')
    .argument('<image...>', 'names, ids or beginnings of ids')
    .action(inspect);
  command
    .command('rm')
    .description('Remove names, and with its last one the image and what no other needs.')
    .argument('<image...>', 'names, ids or beginnings of ids')
    .action(remove);
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

async function remove(references: readonly string[]): Promise<void> {
  await enterUserNamespace(true);
  const store = openStore();
  for (const reference of references) {
    for (const gone of store.remove(reference)) {
      print(`${gone.startsWith('sha256:') ? 'Deleted' : 'Untagged'}: ${gone}\n`);
    }
  }
}
