import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { O_CLOEXEC } from '../../fs/sys/constants.ts';
import { SystemError } from '../../fs/sys/errno.ts';
import { close } from '../../fs/sys/file.ts';
import { pipe2 } from '../../fs/sys/process.ts';
import { EXIT, type StageFailure, type StageSpec } from './spec.ts';
import { type PseudoTerminal } from './terminal/pseudo-terminal.ts';
import { TerminalChannel } from './terminal/terminal-channel.ts';
import type { SpawnerInput, SpawnerMessage, StageNetwork } from './stage-spawner.ts';

/** The compiled stage: neither a process nor a thread can be started from TypeScript on every Node that we support. */
const STAGE = fileURLToPath(new URL('./stage/main.js', import.meta.url));
const SPAWNER = new URL('./stage-spawner.js', import.meta.url);

/** Descriptors that become the stage's 0, 1 and 2; `ignore` is /dev/null. */
export type StageFiles = readonly [stdin: number | 'ignore', stdout: number | 'ignore', stderr: number | 'ignore'];

const NO_FILES: StageFiles = ['ignore', 'ignore', 'ignore'];

interface OurEnds {
  readonly specPipe: number;
  readonly statusPipe: number;
  readonly channel: TerminalChannel | undefined;
  readonly networkNamespace: number | undefined;
}

/** A container's first process, while it is still ours and after. */
export class StageProcess {
  /** Outside of its namespace. */
  readonly pid: number;
  /** Docker's exit code of the container. */
  readonly exited: Promise<number>;
  /** Undefined once the stage has become the command, or has been killed. */
  readonly failure: Promise<StageFailure | undefined>;
  /** Descriptor of its own network namespace, until its end; undefined where it has none. */
  readonly networkNamespace: number | undefined;
  readonly #specPipe: number;
  readonly #channel: TerminalChannel | undefined;
  #ended = false;

  private constructor(
    pid: number,
    exited: Promise<number>,
    { specPipe, statusPipe, channel, networkNamespace }: OurEnds,
  ) {
    this.pid = pid;
    this.#channel = channel;
    this.networkNamespace = networkNamespace;
    this.exited = exited.finally(() => {
      this.#ended = true;
      if (networkNamespace !== undefined) close(networkNamespace);
    });
    this.failure = readFailure(statusPipe);
    this.#specPipe = specPipe;
  }

  /**
   * Starts a stage in a new pid namespace. It waits for its spec, so that it comes up while the client prepares.
   *
   * @param files its standard files; `terminal` where it is to make a pty for them.
   */
  static async spawn(files: StageFiles | 'terminal', network: StageNetwork): Promise<StageProcess> {
    const spec = makePipe();
    const status = makePipe();
    const channel = files === 'terminal' ? new TerminalChannel() : undefined;
    const standard = files === 'terminal' ? NO_FILES : files;
    const own = [spec.readEnd, status.writeEnd, channel?.theirs ?? 'ignore'] as const;
    const input: SpawnerInput = { stage: STAGE, files: [...standard, ...own], network };
    const worker = new Worker(SPAWNER, { workerData: input });
    try {
      const [first] = (await once(worker, 'message')) as [SpawnerMessage];
      const { pid, networkNamespace } = 'pid' in first ? first : { pid: -1 };
      const ours = { specPipe: spec.writeEnd, statusPipe: status.readEnd, channel, networkNamespace };
      return new StageProcess(pid, untilEnd(worker), ours);
    } finally {
      close(spec.readEnd);
      close(status.writeEnd);
      channel?.handOver();
    }
  }

  send(spec: StageSpec): void {
    try {
      writeFileSync(this.#specPipe, JSON.stringify(spec));
    } catch (error) {
      // A stage that has been killed meanwhile: its exit code tells.
      if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
    } finally {
      close(this.#specPipe);
    }
  }

  /** The container's terminal, where it was to have one; to be called once, after `send`. */
  async terminal(): Promise<PseudoTerminal | undefined> {
    // Where the stage fails before it has a terminal, its failure says why.
    return this.#channel?.receive().catch(() => undefined);
  }

  kill(signal: NodeJS.Signals): void {
    if (this.#ended) return;
    try {
      process.kill(this.pid, signal);
    } catch (error) {
      // One that has just ended is as good as killed.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

function makePipe(): { readonly readEnd: number; readonly writeEnd: number } {
  const pipe = pipe2(O_CLOEXEC);
  if (typeof pipe === 'number') throw new SystemError('make a pipe', pipe);
  return pipe;
}

async function untilEnd(worker: Worker): Promise<number> {
  const [last] = (await once(worker, 'message')) as [SpawnerMessage];
  if ('pid' in last) throw new Error('the thread that started the container told of two processes');
  return last.exitCode ?? EXIT.signal + (last.signal === null ? 0 : constants.signals[last.signal]);
}

async function readFailure(statusPipe: number): Promise<StageFailure | undefined> {
  const chunks: Buffer[] = [];
  for await (const chunk of new Socket({ fd: statusPipe, readable: true, writable: false }))
    chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  return text === '' ? undefined : (JSON.parse(text) as StageFailure);
}
