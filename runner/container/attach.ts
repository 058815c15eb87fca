import { type Socket } from 'node:net';
import { type StandardStreams } from './client-output.ts';
import { type Container } from './container.ts';
import { SignalForwarder } from './signal-forwarder.ts';
import { AttachedClient, type ClientEnd } from './supervisor/attached-client.ts';
import { ask, attachTo } from './supervisor/control-client.ts';
import { type DetachedSupervisor } from './supervisor/detached-supervisor.ts';
import { sizeOfStandardFiles } from './terminal/client-terminal.ts';

/** How this process takes part in a container that another one runs. */
export interface AttachOptions {
  readonly streams: StandardStreams;
  /** Signals go to the command. */
  readonly forwardsSignals: boolean;
  /** Bytes that, typed at our terminal, leave a container that has one alone. */
  readonly detachKeys: Buffer;
}

/** Connects the standard files of this process with those of a container that runs, until it ends or is left alone. */
export async function attach(container: Container, options: AttachOptions): Promise<ClientEnd> {
  const socket = await open(container, options);
  const target = signalled(container);
  const signals = options.forwardsSignals ? new SignalForwarder(target) : undefined;
  signals?.begin(target);
  try {
    return await clientOf(container, socket, options).run();
  } finally {
    signals?.close();
  }
}

/**
 * Has a supervisor start a container to which this process is attached before its command begins.
 *
 * @throws RunError where it cannot be started.
 */
export async function startAttached(
  container: Container,
  supervisor: DetachedSupervisor,
  options: AttachOptions,
): Promise<ClientEnd> {
  // Who is let go of before the command runs, gives up.
  const signals = new SignalForwarder({ kill: () => supervisor.close() });
  try {
    supervisor.start(container, true);
    await supervisor.listening;
    const client = clientOf(container, await open(container, options), options);
    await supervisor.started;
    signals.begin(options.forwardsSignals ? signalled(container) : undefined);
    return await client.run();
  } finally {
    signals.close();
  }
}

function open(container: Container, { streams }: AttachOptions): Promise<Socket> {
  const { stdin, stdout, stderr } = streams;
  const size = sizeOfStandardFiles();
  return attachTo(container, { do: 'attach', input: stdin, output: stdout, errors: stderr, size });
}

function clientOf(container: Container, socket: Socket, { streams, detachKeys }: AttachOptions): AttachedClient {
  const terminal = container.config.options?.process.terminal === true;
  return new AttachedClient(socket, { streams, terminal, detachKeys });
}

function signalled(container: Container): { readonly kill: (signal: number) => void } {
  return {
    // One that ends meanwhile needs none.
    kill: (signal) => void ask(container, { do: 'signal', signal }).catch(() => undefined),
  };
}
