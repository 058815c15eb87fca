import { Command } from 'commander';
import { ContainerStore } from '../runner/container/container-store.ts';
import { diffContainer } from '../runner/container/diff.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { print } from './print.ts';

async function act(reference: string): Promise<void> {
  await enterUserNamespace(true);
  const container = new ContainerStore(storeRoot()).find(reference);
  const changes = diffContainer(container);
  // Names are bytes, and are printed as they are.
  print(Buffer.from(changes.map(({ kind, path }) => `${kind} ${path}\n`).join(''), 'latin1'));
}

/** `lamina diff`. */
export function createCommand(): Command {
  return new Command('diff')
    .description('List what a container has added (A), changed (C) and deleted (D), whether it runs or not.')
    .argument('<container>', 'name, id, or first digits of the id')
    .action(act);
}
