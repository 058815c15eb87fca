import { Command } from 'commander';
import { createCommand as createVolumeCommand } from './volume-create.ts';
import { createCommand as createInspectCommand } from './volume-inspect.ts';
import { createCommand as createListCommand } from './volume-ls.ts';
import { createCommand as createPruneCommand } from './volume-prune.ts';
import { createCommand as createRemoveCommand } from './volume-rm.ts';

/** `lamina volume`. */
export function createCommand(): Command {
  return new Command('volume')
    .description('Volumes: directories that outlive containers, which mount them by name (lamina run -v NAME:PATH).')
    .addCommand(createVolumeCommand())
    .addCommand(createInspectCommand())
    .addCommand(createListCommand())
    .addCommand(createPruneCommand())
    .addCommand(createRemoveCommand());
}
