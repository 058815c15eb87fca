import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { close } from '../../fs/sys/file.ts';
import { FIRST_HANDED, HandedFiles } from './handed-files.ts';
import { EXIT, type RootChange, type StageFailure, type StageSpec } from './spec.ts';
import { StagePipes } from './stage-pipes.ts';
import { type PseudoTerminal } from './terminal/pseudo-terminal.ts';
import { type StageNamespaces } from './stage-namespaces.ts';
import { type ProcessEnd } from './stage-child.ts';
import { StageInDoubt, startApart, startInside, type StageProgram, type StartedStage } from './stage-start.ts';
import type { SpawnerInput, SpawnerMessage } from './stage-spawner.ts';

/** The compiled stage: neither a process nor a thread can be started from TypeScript on every Node that we support. */
const STAGE = fileURLToPath(new URL('./stage/main.js', import.meta.url));
const SPAWNER = new URL('./stage-spawner.js', import.meta.url);

/** Descriptors that become the stage's 0, 1 and 2; `ignore` is /dev/null. */
export type StageFiles = readonly [stdin: number | 'ignore', stdout: number | 'ignore', stderr: number | 'ignore'];

const NO_FILES: StageFiles = ['ignore', 'ignore', 'ignore'];

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

  private constructor({ pid, networkNamespace, launcher, ended }: StartedStage, pipes: StagePipes) {
    this.pid = pid;
    this.networkNamespace = networkNamespace;
    this.launcher = launcher;
    this.exited = ended.then((end) => {
      this.#ended = true;
      if (networkNamespace !== undefined) close(networkNamespace);
      return exitCodeOf(end);
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
    try {
      return new StageProcess(await start([...standard, ...pipes.files], namespaces), pipes);
    } catch (error) {
      pipes.giveUp();
      throw error;
    } finally {
      pipes.handOver();
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

function exitCodeOf({ exitCode, signal }: ProcessEnd): number {
  return exitCode ?? EXIT.signal + (signal ?? 0);
}

async function start(files: StageProgram['files'], namespaces: StageNamespaces): Promise<StartedStage> {
  const { network, processes, users } = namespaces;
  if (users === 'inherited') {
    const started = startInside({ stage: STAGE, files, socket: undefined }, namespaces);
    if (started !== undefined) return started;
  }
  if (typeof network === 'number' || typeof processes === 'number') return startByThread(files, namespaces);
  const own = { network: network === 'own', processes: processes === 'own', users };
  try {
    return await handing(files, (socket) => startApart({ stage: STAGE, files, socket }, own));
  } catch (error) {
    // There must not be two.
    if (users !== 'inherited' || error instanceof StageInDoubt) throw error;
    // It says why as it should be said, or does it: without util-linux.
    return startByThread(files, namespaces);
  }
}

/** Descriptors beyond the standard files of a stage that has a launcher wait in a socket. */
async function handing<T>(files: StageProgram['files'], use: (socket: number) => Promise<T>): Promise<T> {
  const handed = new HandedFiles(files.slice(FIRST_HANDED));
  try {
    return await use(handed.theirs);
  } finally {
    handed.close();
  }
}

async function startByThread(files: StageProgram['files'], namespaces: StageNamespaces): Promise<StartedStage> {
  const run = async (socket: number | undefined): Promise<StartedStage> => {
    const input: SpawnerInput = { stage: STAGE, files, socket, ...namespaces };
    const worker = new Worker(SPAWNER, { workerData: input });
    const [first] = (await once(worker, 'message')) as [SpawnerMessage];
    if (!('pid' in first)) throw new Error('the thread that started the container told of its end alone');
    return { ...first, ended: untilEnd(worker) };
  };
  return namespaces.users === 'inherited' ? run(undefined) : handing(files, run);
}

async function untilEnd(worker: Worker): Promise<ProcessEnd> {
  const [last] = (await once(worker, 'message')) as [SpawnerMessage];
  if ('pid' in last) throw new Error('the thread that started the container told of two processes');
  return last;
}
