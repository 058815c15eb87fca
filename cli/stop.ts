import { Command } from 'commander';
import { isLive } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { signalNumber } from '../runner/container/signals.ts';
import { stopContainer } from '../runner/container/stop.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { secondsOf } from './container-flags/lifecycle.ts';
import { eachContainer } from './each-container.ts';

interface Flags {
  readonly all?: true;
  readonly time?: string;
  readonly timeout?: string;
  readonly signal?: string;
}

async function act(references: readonly string[], { all, time, timeout = time, signal }: Flags): Promise<void> {
  if (references.length === 0 && all !== true) throw new Error('which containers? Name some, or give --all');
  const seconds = timeout === undefined ? undefined : secondsOf('--time', timeout);
  const number = signal === undefined ? undefined : signalNumber(signal);
  const running = (): string[] =>
    new ContainerStore(storeRoot()).list().flatMap((container) => (isLive(container.readState()) ? container.id : []));
  await eachContainer(all === true ? running() : references, (container) => stopContainer(container, number, seconds));
}

/** `lamina stop`. */
export function createCommand(): Command {
  return new Command('stop')
    .description(
      'End containers: by their stop signal, and by SIGKILL where they do not follow it. One that has ended is left as it is.',
    )
    .argument('[container...]', 'names, ids, or first digits of ids')
    .option('-a, --all', 'all that run')
    .option(
      '-t, --time <seconds>',
      "from the signal to SIGKILL (default: the container's own, else 10); negative for no end of it",
    )
    .option('--timeout <seconds>', 'the same')
    .option('-s, --signal <signal>', "in place of the container's own stop signal")
    .action(act);
}
