import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { parseFilters } from '../runner/image/filters.ts';
import { openStore } from '../runner/image/store.ts';
import { confirm } from './confirm.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';
import { removalLines, warnOfDamage } from './rmi.ts';
import { collect } from './container-flags/collect.ts';

interface Options {
  readonly all?: true;
  readonly force?: true;
  readonly filter: readonly string[];
}

/** `lamina image prune`. */
export function createCommand(): Command {
  return new Command('prune')
    .description('Remove images without a name that no container uses, and what killed processes left.')
    .option('-a, --all', 'also those with names')
    .option('-f, --force', 'do not ask')
    .option(
      '--filter <key=value>',
      'only some: until=24h, label=NAME[=VALUE], label!=NAME[=VALUE]; can be repeated',
      collect,
      [],
    )
    .option('--external', 'accepted for the sake of podman: there are no containers of others')
    .action(prune);
}

async function prune({ all, force, filter }: Options): Promise<void> {
  await enterUserNamespace(true);
  const store = openStore();
  // docker's other way to ask for all.
  const isAll = all === true || filter.some((text) => /^dangling=(?:false|0)$/.test(text));
  const isIncluded = parseFilters(isAll ? filter.filter((text) => !text.startsWith('dangling=')) : filter, store);
  const what = isAll ? 'all images that no container uses' : 'all dangling images';
  if (force !== true && !(await confirm(`This will remove ${what}.`))) return;
  const { removed, collected } = store.prune((image) => (isAll || image.names.length === 0) && isIncluded(image));
  const lines = removed.flatMap(removalLines);
  if (lines.length > 0) print(`Deleted Images:\n${lines.join('\n')}\n\n`);
  print(`Total reclaimed space: ${humanSize(collected.bytes)}\n`);
  warnOfDamage(collected.damaged);
}
