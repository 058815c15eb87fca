import { permittedCapabilities } from '../../../fs/sys/capability.ts';
import { type Socket } from 'node:net';
import { mergeEnvironment } from '../options/process.ts';
import { identify } from '../process-identity.ts';
import { EXIT, type ProcessSpec, RunError, type SecuritySpec, type StageSpec } from '../spec.ts';
import { Attachment } from '../supervisor/attachment.ts';
import { type ContainerIo } from '../supervisor/container-io.ts';
import { type ExecFailure, type ExecRequest } from '../supervisor/control-protocol.ts';
import { delay } from '../supervisor/deferred.ts';
import { PipeIo } from '../supervisor/pipe-io.ts';
import { TerminalIo } from '../supervisor/terminal-io.ts';
import { ExecSpawner } from './exec-process.ts';

/** What a container's first process was started with. */
type Basis = Pick<StageSpec, 'process' | 'security'>;

// Docker's: what a process that has ended left running may keep its output open for ever.
const OUTPUT_MILLISECONDS = 2000;

// Docker's exit code of exec where the container does not run.
const NOT_RUNNING = 1;

/** The processes that clients have added to a run of a container. */
export class Executions {
  readonly #init: number;
  readonly #spawner: ExecSpawner;
  readonly #container: Basis;
  readonly #live = new Set<Promise<void>>();

  /**
   * @param init the container's first process.
   * @param container what that one was started with.
   * @param groups directories of the container's control groups.
   */
  constructor(init: number, container: Basis, groups: readonly string[]) {
    this.#init = init;
    this.#spawner = new ExecSpawner(init, groups);
    this.#container = container;
  }

  /** Adds a process, and answers the client through its connection, which is paused. */
  add(request: ExecRequest, socket: Socket): void {
    const done = request.detached ? this.#addDetached(request, socket) : this.#addAttached(request, socket);
    const ended = done.catch((error: unknown) => {
      socket.destroy(error as Error);
    });
    this.#live.add(ended);
    void ended.then(() => this.#live.delete(ended));
  }

  async #addAttached(request: ExecRequest, socket: Socket): Promise<void> {
    const { interactive, terminal, size } = request;
    const io = terminal ? new TerminalIo(interactive) : new PipeIo(interactive);
    const attachment = new Attachment(
      socket,
      { do: 'attach', input: interactive, output: true, errors: true, size },
      io,
      true,
    );
    // As where a terminal's line is cut.
    if (io instanceof TerminalIo) void attachment.abandoned.then(() => io.hangUp());
    try {
      const { exited } = await this.#start(request, io);
      const exitCode = await exited;
      attachment.release();
      await Promise.race([io.drain(), delay(OUTPUT_MILLISECONDS)]);
      attachment.end(exitCode);
    } catch (error) {
      await io.drain();
      attachment.fail(this.#failureOf(error));
    }
  }

  async #addDetached(request: ExecRequest, socket: Socket): Promise<void> {
    const io = request.terminal ? new TerminalIo(false) : undefined;
    if (request.size !== undefined) io?.resize(request.size);
    try {
      const { exited } = await this.#start(request, io);
      socket.end('{}\n');
      await exited;
    } catch (error) {
      socket.end(`${JSON.stringify(this.#failureOf(error))}\n`);
    }
    await io?.drain();
  }

  async #start(request: ExecRequest, io: ContainerIo | undefined): ReturnType<ExecSpawner['start']> {
    const starting = this.#spawner.start(this.#processOf(request, io), {
      files: io?.files ?? ['ignore', 'ignore', 'ignore'],
      adopt: io?.adopt?.bind(io),
      security: request.privileged ? privileged(this.#container.security) : this.#container.security,
    });
    return starting.finally(() => io?.handOver());
  }

  #processOf({ args, env, workdir, user, terminal }: ExecRequest, io: ContainerIo | undefined): ProcessSpec {
    const { process } = this.#container;
    const term = terminal ? ['TERM=xterm'] : [];
    return {
      ...process,
      args,
      env: mergeEnvironment(term, [...process.env, ...env]),
      workdir: workdir ?? process.workdir,
      createWorkdir: false,
      user: user ?? process.user,
      terminal: terminal ? { size: io?.size } : undefined,
    };
  }

  #failureOf(error: unknown): ExecFailure {
    const exitCode = error instanceof RunError ? error.exitCode : EXIT.ownError;
    // Whatever could not be opened or entered: the container has ended meanwhile.
    const isOver = exitCode === EXIT.ownError && identify(this.#init) === undefined;
    if (isOver) return { error: 'the container is not running any more', exitCode: NOT_RUNNING };
    return { error: error instanceof Error ? error.message : String(error), exitCode };
  }

  /** To be called after the end of the container's first process: ends the others. */
  async close(): Promise<void> {
    this.#spawner.kill();
    await Promise.all(this.#live);
    this.#spawner.close();
  }
}

/** As docker has it: all capabilities and no AppArmor profile, and still the container's seccomp filter. */
function privileged(security: SecuritySpec): SecuritySpec {
  return { ...security, bounding: permittedCapabilities(), apparmor: undefined };
}
