import { isatty } from 'node:tty';
import { Command, Option } from 'commander';
import { toText } from '../fs/index.ts';
import { type Container } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { type Change, diffContainer } from '../runner/container/diff.ts';
import { diffImages } from '../runner/container/image-diff.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { openStore } from '../runner/image/store.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { Warnings } from '../runner/image/warnings.ts';
import { complain } from './complain.ts';
import { print } from './print.ts';
import { printable, printableJson } from './printable.ts';

interface Flags {
  readonly format?: 'json';
}

/** `lamina diff`. */
export function createCommand(): Command {
  return new Command('diff')
    .description(
      'List what was added (A), changed (C) and deleted (D): by a container, whether it runs or not, or by an image, held against another or against what lies below its topmost layer.',
    )
    .argument('<container|image>', 'name, id, or first digits of the id')
    .argument('[base]', 'the image that the first one is held against')
    .addOption(new Option('--format <format>', 'print a JSON object').choices(['json']))
    .action(act);
}

async function act(reference: string, base: string | undefined, { format }: Flags): Promise<void> {
  await enterUserNamespace(true);
  const container = base === undefined ? findContainer(reference) : undefined;
  const changes = container === undefined ? await imageChanges(reference, base) : diffContainer(container);
  if (format === 'json') print(`${printableJson(toJson(changes))}\n`);
  else if (isatty(1)) changes.forEach(({ kind, path }) => print(`${kind} ${printable(toText(path))}\n`));
  // To a program, names are bytes, and are printed as they are.
  else print(Buffer.from(changes.map(({ kind, path }) => `${kind} ${path}\n`).join(''), 'latin1'));
}

function findContainer(reference: string): Container | undefined {
  const containers = new ContainerStore(storeRoot());
  return containers.has(reference) ? containers.find(reference) : undefined;
}

async function imageChanges(reference: string, base: string | undefined): Promise<Change[]> {
  const store = openStore();
  if (base === undefined && !store.isThere(reference)) {
    throw new Error(
      `there is no container and no image ${JSON.stringify(reference)}; "lamina ps -a" and "lamina images" list all`,
    );
  }
  const warnings = new Warnings();
  const changes = await diffImages(store, reference, base, warnings);
  warnings.lines().forEach(complain);
  return changes;
}

const MEMBERS = { C: 'changed', A: 'added', D: 'deleted' } as const;

/** As podman prints it: lists of paths, those left out that are empty. */
function toJson(changes: readonly Change[]): Readonly<Record<string, readonly string[]>> {
  const lists: Record<string, string[]> = {};
  for (const { kind, path } of changes) (lists[MEMBERS[kind]] ??= []).push(toText(path));
  return lists;
}
