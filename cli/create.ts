import { Command } from 'commander';
import { create } from '../runner/container/run-detached.ts';
import { complain } from './complain.ts';
import { type ContainerFlags, addContainerFlags, containerOptionsOf } from './container-flags/container-flags.ts';
import { type IdFlags, addIdFlags, noteId, replaceIfAsked } from './container-flags/identity.ts';
import { print } from './print.ts';
import { enterNamespacesFor } from './shared-namespaces.ts';

type Flags = ContainerFlags & IdFlags;

async function act(image: string, command: readonly string[], flags: Flags): Promise<void> {
  await enterNamespacesFor(flags);
  await replaceIfAsked(flags);
  const options = containerOptionsOf(image, command, flags, flags.interactive === true);
  const { id } = await create(options, { created: noteId(flags), report: complain });
  print(`${id}\n`);
}

/** `lamina create`. */
export function createCommand(): Command {
  const command = new Command('create').description('Make a container without starting it, and print its id.');
  return addIdFlags(addContainerFlags(command)).action(act);
}
