import { Command } from 'commander';

import { createCommand as createDiffCommand } from './diff.ts';
import { createCommand as createExistsCommand } from './image-exists.ts';
import { createCommand as createHistoryCommand } from './history.ts';
import { createCommand as createPruneCommand } from './image-prune.ts';
import { createCommand as createTreeCommand } from './image-tree.ts';
import { createCommand as createImportCommand } from './import.ts';
import { createCommand as createListCommand } from './images.ts';
import { createCommand as createInspectCommand } from './inspect-image.ts';
import { createCommand as createLoadCommand } from './load.ts';
import { createCommand as createPullCommand } from './pull.ts';
import { createCommand as createPushCommand } from './push.ts';
import { createCommand as createRemoveCommand } from './rmi.ts';
import { createCommand as createSaveCommand } from './save.ts';
import { createCommand as createSearchCommand } from './search.ts';
import { createCommand as createSquashCommand } from './squash.ts';
import { createCommand as createTagCommand } from './tag.ts';
import { createCommand as createUntagCommand } from './untag.ts';

export function createCommand(): Command {
  const command = new Command('image').description('Work with the images of the store.');
  command.addCommand(createListCommand('ls').alias('list'));
  command.addCommand(createInspectCommand());
  command.addCommand(createHistoryCommand());
  command.addCommand(createTreeCommand());
  command.addCommand(createPruneCommand());
  for (const create of [
    createExistsCommand,
    createPullCommand,
    createSearchCommand,
    createPushCommand,
    createLoadCommand,
    createSaveCommand,
    createImportCommand,
    createSquashCommand,
    createDiffCommand,
  ]) {
    command.addCommand(create());
  }
  command.addCommand(createRemoveCommand('rm').alias('remove'));
  command.addCommand(createTagCommand());
  command.addCommand(createUntagCommand());
  return command;
}
