import { Command } from 'commander';
import { isLive } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { signalNumber } from '../runner/container/signals.ts';
import { restartContainer } from '../runner/container/start.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { secondsOf } from './container-flags/lifecycle.ts';
import { eachContainer } from './each-container.ts';
import { enterNamespacesToStart } from './shared-namespaces.ts';

interface Flags {
  readonly all?: true;
  readonly running?: true;
  readonly time?: string;
  readonly timeout?: string;
  readonly signal?: string;
}

async function act(references: readonly string[], flags: Flags): Promise<void> {
  const { all, running, time, timeout = time, signal } = flags;
  if (references.length === 0 && all !== true && running !== true) {
    throw new Error('which containers? Name some, or give --all or --running');
  }
  const seconds = timeout === undefined ? undefined : secondsOf('--time', timeout);
  const number = signal === undefined ? undefined : signalNumber(signal);
  await enterNamespacesToStart(references);
  const chosen =
    references.length > 0
      ? references
      : new ContainerStore(storeRoot())
          .list()
          .filter((container) => all === true || isLive(container.readState()))
          .map(({ id }) => id);
  await eachContainer(chosen, (container) => restartContainer(container, number, seconds));
}

/** `lamina restart`. */
export function createCommand(): Command {
  return new Command('restart')
    .description('End containers as stop does, where they run, and start them anew.')
    .argument('[container...]', 'names, ids, or first digits of ids')
    .option('-a, --all', 'all containers')
    .option('--running', 'all that run')
    .option('-t, --time <seconds>', "from the signal to SIGKILL (default: the container's own, else 10)")
    .option('--timeout <seconds>', 'the same')
    .option('-s, --signal <signal>', "in place of the container's own stop signal")
    .action(act);
}
