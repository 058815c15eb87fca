import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { openStore } from '../../image/store.ts';
import { Container } from '../container.ts';
import { ContainerStore } from '../container-store.ts';
import { prepareRoot } from '../driver/root.ts';
import { SIGKILL } from '../signals.ts';
import { adoptCaller } from '../userns.ts';
import { RunError } from '../spec.ts';
import { AlreadyLive } from './already-live.ts';
import { CHANNEL, type StartEvent, type StartOrder } from './channel.ts';
import { Deferred } from './deferred.ts';
import { PipeIo } from './pipe-io.ts';
import { TerminalIo } from './terminal-io.ts';
import { SupervisorLog } from './supervisor-log.ts';
import { type Beginning, beginRun } from './run-of-container.ts';
import { Supervisor } from './supervisor.ts';

/** Whoever has had the container started. */
class Starter {
  readonly #channel = new Socket({ fd: CHANNEL, readable: true, writable: true });
  /** The first line. */
  readonly order: Promise<StartOrder>;
  /** Settled when the starter has gone. */
  readonly gone = new Deferred<undefined>();

  constructor() {
    const order = new Deferred<StartOrder>();
    this.order = order.promise;
    this.#channel.on('error', () => undefined);
    const lines = createInterface({ input: this.#channel });
    lines.once('line', (line) => order.resolve(JSON.parse(line) as StartOrder));
    // Errors of the channel are its own, too.
    lines.on('error', () => undefined);
    this.#channel.once('close', () => {
      order.reject(new Error('there is nothing to start'));
      this.gone.resolve(undefined);
    });
    this.#channel.once('end', () => this.#channel.destroy());
  }

  /** Resolves when it has been told, or is gone. */
  tell(event: StartEvent): Promise<void> {
    const { promise, resolve } = new Deferred<undefined>();
    if (this.#channel.destroyed) return Promise.resolve();
    this.#channel.write(`${JSON.stringify(event)}\n`, () => resolve(undefined));
    return promise;
  }
}

async function supervise(container: Container, starter: Starter, waitsForClient: boolean): Promise<void> {
  const store = openStore();
  const log = new SupervisorLog(container.directory);
  const { options } = container;
  const { interactive, terminal } = options.process;
  const begin = (): Promise<Beginning> =>
    beginRun(terminal ? new TerminalIo(interactive) : new PipeIo(interactive), options);
  const beginning = begin();
  prepareRoot(options);
  const first = await beginning;
  const mayBegin = new Deferred<undefined>();
  let supervisor: Supervisor;
  try {
    supervisor = new Supervisor(container, first, {
      store,
      containers: new ContainerStore(store.root, (id) => store.release(id)),
      begin,
      report: (message) => log.write(message),
      mayBegin: mayBegin.promise,
    });
  } catch (error) {
    first.stage.kill(SIGKILL);
    throw error;
  }
  const end = supervisor.supervise();
  end.catch((error: unknown) => log.write(String(error)));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => supervisor.end());
  process.on('SIGHUP', () => undefined);
  await supervisor.listen();
  void starter.tell({ event: 'listening' });
  // Whoever was interrupted, or gave up waiting, believes that nothing runs.
  void starter.gone.promise.then(() => mayBegin.reject(new Error('given up before the command ran')));
  if (waitsForClient) await Promise.race([supervisor.attached, mayBegin.promise.catch(() => undefined)]);
  mayBegin.resolve(undefined);
  const runs = await supervisor.started.then(
    () => true,
    () => false,
  );
  if (runs) await starter.tell({ event: 'started' });
  // Where it could not be started, this rejects, once all is tidied up.
  await end;
}

/** Supervises the container that whoever started this process names; resolves when there is nothing left to do. */
export async function superviseOrdered(): Promise<void> {
  const starter = new Starter();
  adoptCaller();
  try {
    const { directory, waitsForClient } = await starter.order;
    const container = Container.open(directory);
    process.title = `lamina: ${container.config.name}`;
    await supervise(container, starter, waitsForClient);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const exitCode = error instanceof RunError ? error.exitCode : undefined;
    await starter.tell({ event: 'failed', message, exitCode, isLive: error instanceof AlreadyLive });
  }
}
