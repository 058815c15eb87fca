import { Command } from 'commander';
import { ContainerStore } from '../runner/container/container-store.ts';
import { removeContainer } from '../runner/container/remove.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { openStore } from '../runner/image/store.ts';
import { complain, messageOf } from './complain.ts';
import { print } from './print.ts';

async function act(
  references: readonly string[],
  { force, volumes }: { readonly force?: true; readonly volumes?: true },
): Promise<void> {
  await enterUserNamespace(true);
  const store = openStore();
  const containers = new ContainerStore(store.root, (id) => store.release(id));
  for (const reference of references) {
    try {
      await removeContainer(containers, containers.find(reference), force === true, volumes === true);
      print(`${reference}\n`);
    } catch (error) {
      complain(messageOf(error));
      process.exitCode = 1;
    }
  }
}

/** `lamina rm`. */
export function createCommand(): Command {
  return new Command('rm')
    .description('Remove containers with all that they changed.')
    .argument('<container...>', 'names, ids, or first digits of ids')
    .option('-f, --force', 'kill those that run')
    .option('-v, --volumes', 'the volumes that were made for them alone, too')
    .action(act);
}
