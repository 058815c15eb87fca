import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { fullName, parseReference } from '../runner/image/reference.ts';
import { openStore } from '../runner/image/store.ts';

async function tag(source: string, targets: readonly string[]): Promise<void> {
  const names = targets.map(nameFor);
  await enterUserNamespace(true);
  openStore().tag(source, names);
}

/** The full name that an image is to take. */
export function nameFor(text: string): string {
  const reference = parseReference(text);
  if (reference.digest === undefined) return fullName(reference);
  throw new Error(`${text} cannot be a name: a digest is an image's own`);
}

/** `lamina tag`. */
export function createCommand(): Command {
  return new Command('tag')
    .description('Give an image more names. One that another image has goes over to this one.')
    .argument('<source>', 'name, id, or beginning of an id')
    .argument('<target...>', 'names, with or without a tag')
    .action(tag);
}
