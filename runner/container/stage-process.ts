import { once } from 'node:events';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { close } from '../../fs/sys/file.ts';
import { HandedFiles } from './handed-files.ts';
import { EXIT, type RootChange, type StageFailure, type StageSpec } from './spec.ts';
import { StagePipes } from './stage-pipes.ts';
import { type PseudoTerminal } from './terminal/pseudo-terminal.ts';
import type { SpawnerInput, SpawnerMessage, StageNetwork, StageProcesses, StageUsers } from './stage-spawner.ts';

/** The compiled stage: neither a process nor a thread can be started from TypeScript on every Node that we support. */
const STAGE = fileURLToPath(new URL('./stage/main.js', import.meta.url));
const SPAWNER = new URL('./stage-spawner.js', import.meta.url);

/** Descriptors that become the stage's 0, 1 and 2; `ignore` is /dev/null. */
export type StageFiles = readonly [stdin: number | 'ignore', stdout: number | 'ignore', stderr: number | 'ignore'];

const NO_FILES: StageFiles = ['ignore', 'ignore', 'ignore'];

/** The namespaces that a stage is started in. */
export interface StageNamespaces {
  readonly network: StageNetwork;
  readonly processes: StageProcesses;
  readonly users: StageUsers;
}

/** A container's first process, while it is still ours and after. */
export class StageProcess {
  /** Outside of its namespace. */
  readonly pid: number;
  /** Docker's exit code of the container. */
  readonly exited: Promise<number>;
  /** Undefined once the stage has become the command, or has been killed. */
  readonly failure: Promise<StageFailure | undefined>;
  /** Resolved along with `failure`. */
  readonly rootChange: Promise<RootChange | undefined>;
  /** Descriptor of its own network namespace, until its end; undefined where it has none. */
  readonly networkNamespace: number | undefined;
  /** A process in its user namespace, where that is not its caller's, which others may change things of. */
  readonly launcher: number | undefined;
  readonly #pipes: StagePipes;
  #ended = false;

  private constructor(
    { pid, networkNamespace, launcher }: Exclude<SpawnerMessage, { readonly exitCode: number | null }>,
    exited: Promise<number>,
    pipes: StagePipes,
  ) {
    this.pid = pid;
    this.networkNamespace = networkNamespace;
    this.launcher = launcher;
    this.exited = exited.finally(() => {
      this.#ended = true;
      if (networkNamespace !== undefined) close(networkNamespace);
    });
    this.failure = pipes.status.then(({ failure }) => failure);
    this.rootChange = pipes.status.then(({ rootChange }) => rootChange);
    this.#pipes = pipes;
  }

  /**
   * Starts a stage. It waits for its spec, so that it comes up while the client prepares.
   *
   * @param files its standard files; `terminal` where it is to make a pty for them.
   */
  static async spawn(files: StageFiles | 'terminal', namespaces: StageNamespaces): Promise<StageProcess> {
    const pipes = new StagePipes(files === 'terminal');
    const standard = files === 'terminal' ? NO_FILES : files;
    const handed = namespaces.users === 'inherited' ? undefined : new HandedFiles(pipes.files);
    const input: SpawnerInput = {
      ...{ stage: STAGE, files: [...standard, ...pipes.files], socket: handed?.theirs },
      ...namespaces,
    };
    const worker = new Worker(SPAWNER, { workerData: input });
    try {
      const [first] = (await once(worker, 'message')) as [SpawnerMessage];
      return new StageProcess('pid' in first ? first : { pid: -1 }, untilEnd(worker), pipes);
    } finally {
      pipes.handOver();
      handed?.close();
    }
  }

  send(spec: StageSpec): void {
    this.#pipes.send(spec);
  }

  /** The container's terminal, where it was to have one; to be called once, after `send`. */
  terminal(): Promise<PseudoTerminal | undefined> {
    return this.#pipes.terminal();
  }

  /** @param signal its number. */
  kill(signal: number): void {
    if (this.#ended) return;
    try {
      process.kill(this.pid, signal);
    } catch (error) {
      // One that has just ended is as good as killed.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

async function untilEnd(worker: Worker): Promise<number> {
  const [last] = (await once(worker, 'message')) as [SpawnerMessage];
  if ('pid' in last) throw new Error('the thread that started the container told of two processes');
  return last.exitCode ?? EXIT.signal + (last.signal === null ? 0 : constants.signals[last.signal]);
}
