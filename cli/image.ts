import { Command } from 'commander';

type Loader = () => Promise<{ readonly createCommand: (name?: string) => Command }>;

/** Commands of images, which are known without `image`, too, most of them. */
const COMMANDS: Readonly<Record<string, Loader>> = {
  ls: () => import('./images.ts'),
  inspect: () => import('./inspect-image.ts'),
  exists: () => import('./image-exists.ts'),
  history: () => import('./history.ts'),
  tree: () => import('./image-tree.ts'),
  diff: () => import('./diff.ts'),
  pull: () => import('./pull.ts'),
  push: () => import('./push.ts'),
  search: () => import('./search.ts'),
  load: () => import('./load.ts'),
  save: () => import('./save.ts'),
  import: () => import('./import.ts'),
  squash: () => import('./squash.ts'),
  tag: () => import('./tag.ts'),
  untag: () => import('./untag.ts'),
  rm: () => import('./rmi.ts'),
  prune: () => import('./image-prune.ts'),
};

const ALIASES: Readonly<Record<string, string>> = { ls: 'list', rm: 'remove' };

/** `lamina image`; only the command that is asked for is loaded. */
export async function createCommand(): Promise<Command> {
  const command = new Command('image').description('Work with the images of the store.').enablePositionalOptions();
  const asked = process.argv[3] ?? '';
  const name = Object.keys(ALIASES).find((one) => ALIASES[one] === asked) ?? asked;
  const names = Object.hasOwn(COMMANDS, name) ? [name] : Object.keys(COMMANDS);
  for (const one of names) {
    const made = (await COMMANDS[one]?.())?.createCommand(one);
    const alias = ALIASES[one];
    if (made !== undefined) command.addCommand(alias === undefined ? made : made.alias(alias));
  }
  return command;
}
