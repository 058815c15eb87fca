import { Command } from 'commander';
import { createCommand as createCheckCommand } from './system-check.ts';
import { createCommand as createDfCommand } from './system-df.ts';
import { createCommand as createPruneCommand } from './system-prune.ts';

/** `lamina system`. */
export function createCommand(): Command {
  return new Command('system')
    .description('Look after the store as a whole.')
    .addCommand(createDfCommand())
    .addCommand(createCheckCommand())
    .addCommand(createPruneCommand());
}
