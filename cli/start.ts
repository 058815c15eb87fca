import { Command, Option } from 'commander';
import { exitNow } from '../fs/index.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { FILTER_KEYS, containerFilter } from '../runner/container/filters.ts';
import { EXIT, RunError } from '../runner/container/spec.ts';
import { startContainer, startInForeground } from '../runner/container/start.ts';
import { openStore } from '../runner/image/store.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { complain, messageOf } from './complain.ts';
import { collect } from './container-flags/collect.ts';
import { eachContainer, findContainer } from './each-container.ts';
import { enterNamespacesToStart } from './shared-namespaces.ts';
import { type DetachFlags, addDetachKeys, checkInput, detachKeysOf, sayHowItEnded } from './terminal-flags.ts';

interface Flags extends DetachFlags {
  readonly attach?: true;
  readonly interactive?: true;
  readonly all?: true;
  readonly filter?: readonly string[];
  readonly sigProxy: string;
}

async function attached(reference: string, flags: Flags): Promise<void> {
  const { interactive, sigProxy } = flags;
  let exitCode: number;
  try {
    const container = findContainer(reference);
    const stdin = interactive === true && container.options.process.interactive;
    checkInput({ interactive: stdin, terminal: container.options.process.terminal });
    const streams = { stdin, stdout: true, stderr: true };
    const client = { streams, forwardsSignals: sigProxy !== 'false', detachKeys: detachKeysOf(flags) };
    exitCode = sayHowItEnded(await startInForeground(container, client));
  } catch (error) {
    complain(messageOf(error));
    exitCode = error instanceof RunError ? error.exitCode : EXIT.ownError;
  }
  exitNow(exitCode);
}

/** Ids of those that `--all` and `--filter` mean. */
function matching(filters: readonly string[]): string[] {
  const containers = new ContainerStore(storeRoot()).list();
  const passes = containerFilter(filters, containers, () => openStore());
  return containers.filter(passes).map(({ id }) => id);
}

async function act(references: readonly string[], flags: Flags): Promise<void> {
  const { all, filter = [], attach, interactive } = flags;
  const isSelection = all === true || filter.length > 0;
  if (references.length === 0 && !isSelection) throw new Error('which containers? Name some, or give --all');
  await enterNamespacesToStart(references);
  const [reference] = references;
  if (attach === true || interactive === true) {
    if (isSelection || reference === undefined || references.length > 1) {
      throw new Error('one container alone can be attached to');
    }
    await attached(reference, flags);
    return;
  }
  await eachContainer(isSelection ? matching(filter) : references, startContainer);
}

const HELP = `
After the machine has been started, "lamina start --all --filter should-start-on-boot=true" starts the containers with the
policy always, and those with unless-stopped that nobody has ended. A container is started with the options that it was
made with, on the files that it left.`;

/** `lamina start`. */
export function createCommand(): Command {
  const command = new Command('start')
    .description('Start containers that do not run. One that runs is left as it is.')
    .argument('[container...]', 'names, ids, or first digits of ids')
    .option('-a, --attach', 'show what it writes, and end with its exit code')
    .option('-i, --interactive', 'and pass it standard input')
    .option('--all', 'all containers')
    .option('-f, --filter <key=value>', `those that match (${FILTER_KEYS}); can be repeated`, collect)
    .addOption(
      new Option('--sig-proxy <boolean>', 'with --attach: pass signals on to the command')
        .choices(['true', 'false'])
        .default('true'),
    )
    .addHelpText('after', HELP)
    .action(act);
  return addDetachKeys(command);
}
