import { Command } from 'commander';

import { squashImage } from '../runner/container/squash.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { parseLimits } from '../runner/image/limits.ts';
import { fullName, parseReference } from '../runner/image/reference.ts';
import { openStore } from '../runner/image/store.ts';
import { Warnings } from '../runner/image/warnings.ts';
import { complain, messageOf } from './complain.ts';
import { addLimitOption } from './limit-option.ts';
import { print } from './print.ts';

interface Flags {
  readonly tag?: string;
  readonly from?: string;
  readonly message?: string;
  readonly limit: readonly string[];
}

/** `lamina squash`. */
export function createCommand(): Command {
  const command = new Command('squash')
    .description('Make an image that shows the same with fewer layers, and print its id.')
    .argument('<image>', 'name, id or beginning of the id')
    .option('-t, --tag <name>', 'name for the new image; without it, it has its id alone')
    .option(
      '-f, --from <layer>',
      'how many layers to squash, from the topmost down, or the diffID of the layer above which all are (default: all)',
    )
    .option('-m, --message <text>', 'what the history is to say');
  return addLimitOption(command).action(act);
}

async function act(reference: string, { tag, from, message, limit }: Flags): Promise<void> {
  const name = tag === undefined ? undefined : fullName(parseReference(tag));
  await enterUserNamespace(true);
  const warnings = new Warnings();
  try {
    const limits = parseLimits(limit);
    print(`${await squashImage(openStore(), reference, { name, from, message, limits, warnings })}\n`);
  } catch (error) {
    throw new Error(`cannot squash ${reference}: ${messageOf(error)}`, { cause: error });
  }
  warnings.lines().forEach(complain);
}
