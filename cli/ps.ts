import { Command } from 'commander';
import { type ContainerState, liveStatus } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { type ListedContainer, describeContainer } from '../runner/container/listing.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { print } from './print.ts';
import { printable } from './printable.ts';

interface Flags {
  readonly all?: true;
  readonly quiet?: true;
  /** False with --no-trunc. */
  readonly trunc: boolean;
}

const SHORT_ID = 12;
const SHORT_COMMAND = 20;
const GAP = '   ';

function rowOf(container: ListedContainer, trunc: boolean): string[] {
  const { id, image, command, created, status, name } = container;
  const shown = trunc && command.length > SHORT_COMMAND ? `${command.slice(0, SHORT_COMMAND - 2)}…"` : command;
  return [trunc ? id.slice(0, SHORT_ID) : id, printable(image), printable(shown), created, status, name];
}

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows.reduce<number[]>(
    (widest, row) => row.map((cell, at) => Math.max(cell.length, widest[at] ?? 0)),
    [],
  );
  for (const row of rows) {
    const line = row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(GAP);
    print(`${line.trimEnd()}\n`);
  }
}

function isUp(state: ContainerState): boolean {
  return ['running', 'orphaned'].includes(liveStatus(state));
}

function act({ all, quiet, trunc }: Flags): void {
  const containers = new ContainerStore(storeRoot())
    .list()
    .map((container) => ({ container, state: container.readState() }));
  const shown = containers.filter(({ state }) => all === true || isUp(state));
  const listed = shown.map(({ container, state }) => describeContainer(container, state, Date.now()));
  if (quiet === true) {
    for (const { id } of listed) print(`${trunc ? id.slice(0, SHORT_ID) : id}\n`);
    return;
  }
  const header = ['CONTAINER ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'NAMES'];
  printTable([header, ...listed.map((container) => rowOf(container, trunc))]);
}

/** `lamina ps`. */
export function createCommand(): Command {
  return new Command('ps')
    .description('List containers that run, with their client or, orphaned, without.')
    .option('-a, --all', 'those that have ended, too')
    .option('-q, --quiet', 'ids alone')
    .option('--no-trunc', 'ids and commands in full')
    .action(act);
}
