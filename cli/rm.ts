import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { ContainerStore } from '../runner/container/container-store.ts';
import { FILTER_KEYS, containerFilter } from '../runner/container/filters.ts';
import { removeContainer } from '../runner/container/remove.ts';
import { stopContainer } from '../runner/container/stop.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { openStore } from '../runner/image/store.ts';
import { complain, messageOf } from './complain.ts';
import { collect } from './container-flags/collect.ts';
import { secondsOf } from './container-flags/lifecycle.ts';
import { print } from './print.ts';

interface Flags {
  readonly all?: true;
  readonly cidfile?: readonly string[];
  readonly filter?: readonly string[];
  readonly force?: true;
  readonly ignore?: true;
  readonly time?: string;
  readonly volumes?: true;
}

async function act(names: readonly string[], flags: Flags): Promise<void> {
  const { all, cidfile = [], filter = [], force, ignore, time, volumes } = flags;
  const seconds = time === undefined ? undefined : secondsOf('--time', time);
  if (seconds !== undefined && force !== true) throw new Error('--time goes with --force');
  const references = [...names, ...cidfile.map((path) => readFileSync(path, 'utf8').trim())];
  const isSelection = all === true || filter.length > 0;
  if (references.length === 0 && !isSelection) throw new Error('which containers? Name some, or give --all');
  await enterUserNamespace(true);
  const store = openStore();
  const containers = new ContainerStore(store.root, (id) => store.release(id));
  const known = containers.list();
  const chosen = isSelection ? known.filter(containerFilter(filter, known, () => store)).map(({ id }) => id) : [];
  for (const reference of [...references, ...chosen]) {
    // As docker and podman have it: what is not there need not be removed by force.
    if ((force ?? ignore) === true && !containers.has(reference)) continue;
    try {
      const container = containers.find(reference);
      if (seconds !== undefined) await stopContainer(container, undefined, seconds);
      await removeContainer(containers, container, force === true, volumes === true);
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
    .argument('[container...]', 'names, ids, or first digits of ids')
    .option('-a, --all', 'all containers')
    .option('-f, --force', 'kill those that run')
    .option('-i, --ignore', 'what is not there is no error; with --force it never is')
    .option('-t, --time <seconds>', 'with --force: by the stop signal first, and by SIGKILL that much later')
    .option('-v, --volumes', 'the volumes that were made for them alone, too')
    .option('--cidfile <file>', 'the one whose id a file has; can be repeated', collect)
    .option('--filter <key=value>', `those that match (${FILTER_KEYS}); can be repeated`, collect)
    .action(act);
}
