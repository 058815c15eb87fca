import { type Command, Option } from 'commander';
import { describeLimits } from '../runner/image/limits.ts';
import { collect } from './container-flags/collect.ts';

/** Gives a command that takes images or archives its `--limit`; `parseLimits` reads what comes of it. */
export function addLimitOption(command: Command): Command {
  const option = new Option('--limit <name=value>', 'set what an image may ask for, see below; can be repeated');
  const help = ['', 'Limits, with k, m, g or t for powers of 1,024:', ...describeLimits()].join('\n');
  return command.addOption(option.argParser(collect).default([], 'see below')).addHelpText('after', help);
}
