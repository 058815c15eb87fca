import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { VolumeStore } from '../runner/container/volume/volume-store.ts';
import { openStore } from '../runner/image/store.ts';
import { complain, messageOf } from './complain.ts';
import { print } from './print.ts';

/** `lamina volume rm`. */
export function createCommand(): Command {
  return new Command('rm')
    .alias('remove')
    .description('Remove volumes with all in them. One that a container has is refused.')
    .argument('<volume...>', 'names, or first characters of names')
    .option('-f, --force', 'say nothing of one that is not there')
    .action(act);
}

async function act(references: readonly string[], { force }: { readonly force?: true }): Promise<void> {
  await enterUserNamespace(true);
  const volumes = new VolumeStore(openStore().root);
  for (const reference of references) {
    try {
      if (force === true && !volumes.has(reference)) continue;
      volumes.remove(volumes.get(reference));
      print(`${reference}\n`);
    } catch (error) {
      complain(messageOf(error));
      process.exitCode = 1;
    }
  }
}
