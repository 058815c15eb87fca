import { Command } from 'commander';
import { processesOf } from '../runner/container/container-processes.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { liveStatus } from '../runner/container/container.ts';
import { listProcesses } from '../runner/container/top.ts';
import { enterNamespacesOf } from '../runner/container/userns.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { print } from './print.ts';
import { printable } from './printable.ts';

// Docker's: a column is at least so wide, with what parts it from the next.
const COLUMN = 20;
const GAP = 3;

function act(reference: string, options: readonly string[]): void {
  const container = new ContainerStore(storeRoot()).find(reference);
  const state = container.readState();
  const { init, supervisor } = state;
  if (init === undefined || !['running', 'orphaned'].includes(liveStatus(state))) {
    throw new Error(`container ${container.config.name} is not running`);
  }
  // There an ordinary user's processes have the names that they have inside.
  if (supervisor !== undefined && liveStatus(state) === 'running') enterNamespacesOf(supervisor.pid);
  const { titles, processes } = listProcesses(processesOf(container, init.pid), options);
  const rows = [titles, ...processes].map((row) => row.map(printable));
  const widths = titles.map((_, column) => Math.max(COLUMN, ...rows.map((row) => (row[column]?.length ?? 0) + GAP)));
  for (const row of rows) {
    const last = row.length - 1;
    print(`${row.map((cell, column) => (column === last ? cell : cell.padEnd(widths[column] ?? 0))).join('')}\n`);
  }
}

/** `lamina top`. */
export function createCommand(): Command {
  return new Command('top')
    .description("List the processes of a container that runs, as this machine's ps(1) shows them.")
    .argument('<container>', 'name, id, or the first digits of the id')
    .argument('[options...]', 'of ps, such as -o pid,user,args or aux; PID must be shown (default: -ef)')
    .passThroughOptions()
    .action(act);
}
