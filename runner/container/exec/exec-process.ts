import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_PATH, O_WRONLY } from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close, openat } from '../../../fs/sys/file.ts';
import { CLONE_NEWPID, pidfdOpen } from '../../../fs/sys/namespaces.ts';
import { EXIT, type ProcessSpec, RunError, type SecuritySpec } from '../spec.ts';
import { killProcess } from '../kill-process.ts';
import { StagePipes } from '../stage-pipes.ts';
import { type StageFiles } from '../stage-process.ts';
import { type PseudoTerminal } from '../terminal/pseudo-terminal.ts';
import { type ExecSpec } from './exec-spec.ts';
import type { ExecSpawnerInput, ExecSpawnerMessage, ExecSpawnerRequest } from './exec-spawner.ts';
import type { EnteredNamespaces } from '../user-namespace/launch.ts';
import { foreignNamespaces, isInPlainChroot, openEntered } from './namespaces-of.ts';

/** Compiled: neither a process nor a thread can be started from TypeScript on every Node that we support. */
const STAGE = fileURLToPath(new URL('./stage.js', import.meta.url));
const SPAWNER = new URL('./exec-spawner.js', import.meta.url);

const NO_FILES: StageFiles = ['ignore', 'ignore', 'ignore'];

/** A process that has been added to a container. */
export interface ExecProcess {
  /** Outside of the container's pid namespace. */
  readonly pid: number;
  /** Docker's exit code of the process. */
  readonly exited: Promise<number>;
}

/** How a process is added to a container. */
export interface ExecOptions {
  /** Its standard files; `terminal` where it is to have a pty. */
  readonly files: StageFiles | 'terminal';
  /** Called with the pty, before the command runs, or without where there is none. */
  readonly adopt?: ((terminal: PseudoTerminal | undefined) => void) | undefined;
  readonly security: SecuritySpec;
}

interface Waiting {
  readonly started: (pid: number) => void;
  readonly failed: (error: Error) => void;
  readonly ended: (exitCode: number) => void;
}

/** Adds processes to a container that runs. They are children of this process, and end with the container at the latest. */
export class ExecSpawner {
  readonly #init: number;
  readonly #groups: readonly string[];
  readonly #waiting = new Map<number, Waiting>();
  /** Of those that have not ended, by the number of their request. */
  readonly #pids = new Map<number, number>();
  #worker: Worker | undefined;
  #entered: EnteredNamespaces = {};
  #requests = 0;

  /**
   * @param init the container's first process, a child of this process that has become the command.
   * @param groups directories of its control groups.
   */
  constructor(init: number, groups: readonly string[]) {
    this.#init = init;
    this.#groups = groups;
  }

  /**
   * Resolves when the command runs.
   *
   * @throws RunError with docker's exit code where it cannot be started.
   */
  async start(process: ProcessSpec, { security, files, adopt }: ExecOptions): Promise<ExecProcess> {
    // Looked at only now: the first process of a container that nothing is added to may have ended long ago.
    const [namespaces, chroot] = [foreignNamespaces(this.#init), isInPlainChroot(this.#init)];
    const pipes = new StagePipes(files === 'terminal');
    const hasPidNamespace = (namespaces & CLONE_NEWPID) !== 0;
    const { pid, exited } = await this.#spawn(files === 'terminal' ? NO_FILES : files, pipes, hasPidNamespace);
    const spec: ExecSpec = {
      ...{ process, security, chroot },
      namespaces: namespaces & ~CLONE_NEWPID,
      cgroups: this.#groups.length,
    };
    pipes.send(spec);
    adopt?.(await pipes.terminal());
    const { failure } = await pipes.status;
    if (failure === undefined) return { pid, exited };
    await exited;
    throw new RunError(failure.message, failure.exitCode);
  }

  async #spawn(
    files: StageFiles,
    pipes: StagePipes,
    hasPidNamespace: boolean,
  ): Promise<{ pid: number; exited: Promise<number> }> {
    const number = ++this.#requests;
    const opened: number[] = [];
    try {
      const own = this.#openContainer(opened);
      const worker = this.#thread(hasPidNamespace);
      let ended: Waiting['ended'] = () => undefined;
      const exited = new Promise<number>((resolve) => (ended = resolve));
      const pid = await new Promise<number>((started, failed) => {
        this.#waiting.set(number, { started, failed, ended });
        const request: ExecSpawnerRequest = { number, files: [...files, ...pipes.files, ...own] };
        worker.postMessage(request);
      });
      return { pid, exited };
    } finally {
      pipes.handOver();
      for (const fd of opened) close(fd);
    }
  }

  /** What become the stage's descriptors from INIT_FD on. */
  #openContainer(opened: number[]): readonly number[] {
    const keep = (fd: number, what: string): void => void opened.push(check(fd, `open ${what}`));
    keep(pidfdOpen(this.#init), "the container's first process");
    keep(openat(-1, `/proc/${this.#init}/root`, O_PATH | O_DIRECTORY | O_CLOEXEC), "the container's root");
    for (const group of this.#groups) {
      keep(openat(-1, toBytes(`${group}/cgroup.procs`), O_WRONLY | O_CLOEXEC), `control group ${group}`);
    }
    return opened;
  }

  #thread(hasPidNamespace: boolean): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const init = hasPidNamespace ? check(pidfdOpen(this.#init), "open the container's first process") : undefined;
    this.#entered = openEntered(this.#init);
    const input: ExecSpawnerInput = { stage: STAGE, init, entered: this.#entered };
    const worker = new Worker(SPAWNER, { workerData: input });
    worker.on('message', (message: ExecSpawnerMessage) => this.#receive(message));
    worker.on('error', (error) => this.#fail(error));
    this.#worker = worker;
    return worker;
  }

  #receive(message: ExecSpawnerMessage): void {
    const { number } = message;
    const waiting = this.#waiting.get(number);
    if ('pid' in message) {
      this.#pids.set(number, message.pid);
      waiting?.started(message.pid);
      return;
    }
    this.#waiting.delete(number);
    this.#pids.delete(number);
    if ('error' in message) waiting?.failed(new Error(`cannot start a process in the container: ${message.error}`));
    else waiting?.ended(message.exitCode ?? EXIT.signal + (message.signal ? constants.signals[message.signal] : 0));
  }

  #fail(error: Error): void {
    this.#worker = undefined;
    for (const { failed, ended } of this.#waiting.values()) {
      failed(error);
      ended(EXIT.ownError);
    }
    this.#waiting.clear();
  }

  /** In a pid namespace that is not the container's own they do not end with its first process. */
  kill(): void {
    for (const pid of this.#pids.values()) killProcess(pid);
  }

  /** To be called when all have ended. */
  close(): void {
    void this.#worker?.terminate();
    for (const fd of [this.#entered.users, this.#entered.time]) if (fd !== undefined) close(fd);
  }
}
