import { lstatSync } from 'node:fs';
import { Command } from 'commander';
import { ContainerStore } from '../runner/container/container-store.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { type StatsFlags } from './container-stats.ts';

const HELP = `
A name with a slash in it, or of no container, is the mount point of a union: its requests are counted, and its lookup
cache's hits and misses.

Fields for --format: .Container, .ID, .Name, .CPUPerc, .MemUsage, .MemPerc, .NetIO, .BlockIO, .PIDs. Where a container has
no control group, as an ordinary user's without a delegated one, there is nothing to tell of it.`;

async function act(references: readonly string[], flags: StatsFlags & { readonly json?: true }): Promise<void> {
  const [first] = references;
  if (first !== undefined && isMountpoint(first)) {
    if (references.length > 1) throw new Error('of mounts, one at a time is shown');
    const { printMountStats } = await import('./mount-stats.ts');
    await printMountStats(first, flags.json === true);
    return;
  }
  const { printContainerStats } = await import('./container-stats.ts');
  await printContainerStats(references, flags.json === true ? { ...flags, format: 'json' } : flags);
}

function isMountpoint(name: string): boolean {
  if (name.includes('/')) return true;
  return !new ContainerStore(storeRoot()).has(name) && isThere(name);
}

// The mount point of a daemon that has died cannot be looked at, but it is there.
function isThere(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

/** `lamina stats`. */
export function createCommand(): Command {
  return new Command('stats')
    .description('Show what containers use, again every second; or what a mount was asked for.')
    .argument('[container-or-mountpoint...]', 'names or ids; all that run, without')
    .option('-a, --all', 'those that do not run, too')
    .option('--no-stream', 'once')
    .option('--no-trunc', 'ids in full')
    .option('--format <format>', 'a Go template, "table ..." with one, or json')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(act);
}
