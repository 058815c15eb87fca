import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { openStore, type Removed, type RemovedImage, type Store } from '../runner/image/store.ts';
import { complain, messageOf } from './complain.ts';
import { print } from './print.ts';
import { printable } from './printable.ts';

interface Flags {
  readonly all?: boolean;
  readonly force?: boolean;
  readonly ignore?: boolean;
}

const HELP = `
An image goes with its last name; by its id, with all its names, where these are of one repository. One that a container
uses stays: with --force, it loses its names, and "lamina image prune" takes it once the container is gone.
Exit status: 1 where an image is not there (not with --force or --ignore) or cannot be removed; the others are removed all the same.`;

/** @param name `rmi`, or `rm` below `image`. */
export function createCommand(name = 'rmi'): Command {
  return new Command(name)
    .description('Remove names of images, and with its last one the image and what no other needs.')
    .argument('[image...]', 'names, ids, beginnings of ids, or NAME@DIGEST')
    .option('-a, --all', 'all images')
    .option('-f, --force', 'also where names are in several repositories, or a container uses the image')
    .option('-i, --ignore', 'an image that is not there is no failure')
    .option('--no-prune', 'accepted for the sake of docker: there are no parents without a name')
    .addHelpText('after', HELP)
    .action(remove);
}

async function remove(references: readonly string[], { all, force = false, ignore = false }: Flags): Promise<void> {
  if (all === true && references.length > 0) throw new Error('--all takes no images: all are meant');
  if (all !== true && references.length === 0) throw new Error('no image is given; --all removes all');
  await enterUserNamespace(true);
  const store = openStore();
  if (all === true) removeAll(store, force);
  else for (const reference of references) removeOne(store, reference, force, ignore);
}

/** By their ids, with all names. Those that containers use are refused, or lose their names by force. */
function removeAll(store: Store, force: boolean): void {
  const users = store.users();
  for (const { id } of store.list()) removeOne(store, id, force || !users.has(id), true);
}

function removeOne(store: Store, reference: string, force: boolean, ignore: boolean): void {
  try {
    if (store.isThere(reference)) report(store.remove(reference, force));
    else if (!ignore) fail(`image ${JSON.stringify(reference)} is not in the store`, !force);
  } catch (error) {
    fail(messageOf(error), true);
  }
}

function fail(message: string, isFailure: boolean): void {
  complain(message);
  if (isFailure) process.exitCode = 1;
}

/** docker's lines. */
export function removalLines({ untagged, deleted }: RemovedImage): string[] {
  return [...untagged.map((name) => `Untagged: ${printable(name)}`), ...deleted.map((digest) => `Deleted: ${digest}`)];
}

function report(removed: Removed): void {
  print(
    removalLines(removed)
      .map((line) => `${line}\n`)
      .join(''),
  );
  warnOfDamage(removed.collected.damaged);
}

/** Says why nothing was collected. */
export function warnOfDamage(damaged: readonly string[]): void {
  if (damaged.length === 0) return;
  complain(
    `nothing was removed from disk: ${damaged.join(', ')} is damaged, and what it needs is not known; "lamina system check --repair" fetches it again`,
  );
}
