import { type ChildProcess, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { CLOSE_RANGE_CLOEXEC, closeRange } from '../../../fs/sys/process.ts';
import { type Container } from '../container.ts';
import { wantedDriver } from '../driver/choice.ts';
import { type ContainerOptions } from '../options/container-options.ts';
import { environmentInside } from '../userns.ts';
import { RunError } from '../spec.ts';
import { CHANNEL, MOUNTS, type StartEvent, type StartOrder } from './channel.ts';
import { Deferred } from './deferred.ts';
import { AlreadyLive } from './already-live.ts';

/** The compiled program. */
const PROGRAM = fileURLToPath(new URL('./main.js', import.meta.url));

/** A supervisor in a process of its own, which goes on when this one ends. It comes up while the container is made. */
export class DetachedSupervisor {
  readonly #channel: Duplex;
  readonly #listening = new Deferred<undefined>();
  readonly #started = new Deferred<undefined>();

  private constructor(process: ChildProcess) {
    // Node makes such a pipe a socket pair.
    this.#channel = process.stdio[CHANNEL] as Duplex;
    // Nobody waits for the process: its end of the channel tells of its end.
    this.#channel.once('close', () => this.#fail(new Error("the container's supervisor has ended early")));
    this.#channel.on('error', () => undefined);
    const lines = createInterface({ input: this.#channel });
    lines.on('line', (line) => this.#receive(JSON.parse(line) as StartEvent));
    // Errors of the channel are its own, too.
    lines.on('error', () => undefined);
    process.once('error', (error) => this.#fail(new Error(`cannot start the supervisor: ${error.message}`)));
    process.unref();
  }

  static spawn({ driver, backend }: ContainerOptions): DetachedSupervisor {
    const mounts = wantedDriver(driver) === 'union' && backend === undefined;
    // It must not hold the pipes of whoever started us: they would wait for its end.
    closeRange(CHANNEL, CLOSE_RANGE_CLOEXEC);
    const program = spawn(process.execPath, mounts ? [PROGRAM, MOUNTS] : [PROGRAM], {
      argv0: 'lamina',
      cwd: '/',
      detached: true,
      // What that names Node reads when it starts, which takes it as long as all else; the supervisor asks no registry.
      env: { ...environmentInside(), NODE_EXTRA_CA_CERTS: undefined },
      stdio: ['ignore', 'ignore', logTarget(), 'pipe'],
    });
    return new DetachedSupervisor(program);
  }

  /** Has it start a container. */
  start({ directory }: Container, waitsForClient = false): void {
    const order: StartOrder = { directory, waitsForClient };
    this.#channel.write(`${JSON.stringify(order)}\n`);
  }

  /** Resolves once the container can be attached to. */
  get listening(): Promise<undefined> {
    return this.#listening.promise;
  }

  /**
   * Resolves once the command runs.
   *
   * @throws RunError where it cannot be started, AlreadyLive where it runs.
   */
  get started(): Promise<undefined> {
    return this.#started.promise;
  }

  /** Lets go of it: one whose command does not run yet, gives up. */
  close(): void {
    this.#channel.destroy();
  }

  #receive(event: StartEvent): void {
    if (event.event === 'listening') this.#listening.resolve(undefined);
    else if (event.event === 'started') this.#started.resolve(undefined);
    else if (event.isLive) this.#fail(new AlreadyLive(event.message));
    else if (event.exitCode === undefined) this.#fail(new Error(event.message));
    else this.#fail(new RunError(event.message, event.exitCode));
  }

  #fail(error: Error): void {
    this.#listening.reject(error);
    this.#started.reject(error);
  }
}

/** The supervisor's standard error: a file where LAMINA_LOG names one. */
function logTarget(): number | 'ignore' {
  const { LAMINA_LOG: path } = process.env;
  return path === undefined || path === '' ? 'ignore' : openSync(path, 'a', 0o600);
}
