import { constants } from 'node:os';
import { type Container } from './container.ts';
import { type RunOptions } from './create.ts';
import { create } from './run-detached.ts';
import { AttachedClient, type ClientEnd } from './supervisor/attached-client.ts';
import { ask, attachTo } from './supervisor/control-client.ts';
import { DetachedSupervisor } from './supervisor/detached-supervisor.ts';
import { sizeOfStandardFiles } from './terminal/client-terminal.ts';

/** How a new container is lent this process's terminal. */
export interface TerminalOptions {
  readonly detachKeys: Buffer;
  /** Signals go to the command. */
  readonly forwardsSignals: boolean;
  /** Told of the container before it is started. */
  readonly created: (container: Container) => void;
  readonly report: (message: string) => void;
}

/**
 * Runs a command on a terminal in a new container, which a process of its own supervises, until it ends or the detach
 * keys are typed. Call it where `enterUserNamespace` has been.
 *
 * @throws RunError where it cannot be started.
 */
export async function runAttached(options: RunOptions, client: TerminalOptions): Promise<ClientEnd> {
  const supervisor = DetachedSupervisor.spawn();
  let stopForwarding: (() => void) | undefined;
  try {
    const container = await create(options, client);
    supervisor.start(container, true);
    await supervisor.listening;
    const { interactive } = options.container.process;
    const request = { input: interactive, output: true, errors: true, size: sizeOfStandardFiles() };
    const socket = await attachTo(container, { do: 'attach', ...request });
    const streams = { stdin: interactive, stdout: true, stderr: true };
    const attached = new AttachedClient(socket, { streams, terminal: true, detachKeys: client.detachKeys });
    await supervisor.started;
    if (client.forwardsSignals) stopForwarding = forwardSignals(container);
    return await attached.run();
  } finally {
    stopForwarding?.();
    supervisor.close();
  }
}

const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

function forwardSignals(container: Container): () => void {
  const forward = (signal: NodeJS.Signals): void => {
    // One that comes after the end has nobody to go to.
    ask(container, { do: 'signal', signal: constants.signals[signal] }).catch(() => undefined);
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  return () => FORWARDED.forEach((signal) => process.off(signal, forward));
}
