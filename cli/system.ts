import { Command } from 'commander';
import { createCommand as createCheckCommand } from './system-check.ts';

/** `lamina system`. */
export function createCommand(): Command {
  return new Command('system').description('Look after the store as a whole.').addCommand(createCheckCommand());
}
