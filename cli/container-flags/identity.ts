import { existsSync, writeFileSync } from 'node:fs';
import { type Command } from 'commander';
import { type Container } from '../../runner/container/container.ts';
import { ContainerStore } from '../../runner/container/container-store.ts';
import { removeContainer } from '../../runner/container/remove.ts';
import { openStore } from '../../runner/image/store.ts';

/** What the options of `addIdFlags` give. */
export interface IdFlags {
  readonly name?: string;
  readonly cidfile?: string;
  readonly replace?: true;
}

/** Options of how a new container is known. */
export function addIdFlags(command: Command): Command {
  return command
    .option('--cidfile <file>', "write the container's id to a file, which must not be there")
    .option('--replace', 'remove the container that has the name, if there is one');
}

/** Removes the container whose name is wanted, and refuses a file for the id that is there already. */
export async function replaceIfAsked({ name, replace, cidfile }: IdFlags): Promise<void> {
  if (cidfile !== undefined && existsSync(cidfile)) {
    throw new Error(`--cidfile ${cidfile} is there already: remove it, or the container that it names may be in use`);
  }
  if (replace !== true) return;
  if (name === undefined) throw new Error('--replace needs --name');
  const store = openStore();
  const containers = new ContainerStore(store.root, (id) => store.release(id));
  if (containers.has(name)) await removeContainer(containers, containers.find(name), true);
}

/** Writes the id where --cidfile says. */
export function noteId({ cidfile }: IdFlags): (container: Container) => void {
  return ({ id }) => {
    if (cidfile !== undefined) writeFileSync(cidfile, id, { flag: 'wx' });
  };
}
