import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { type Readable, type Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { check } from '../../fs/sys/errno.ts';
import { CLONE_NEWPID, setns, unshare } from '../../fs/sys/namespaces.ts';
import { withProtectedNode } from './protected-node.ts';
import { EXIT, SPEC_FD, STATUS_FD, type StageFailure, type StageSpec } from './spec.ts';

/** The compiled stage: a process cannot be started from TypeScript on every Node that we support. */
const STAGE = fileURLToPath(new URL('./stage/main.js', import.meta.url));

/** Descriptors that become the stage's 0, 1 and 2; `ignore` is /dev/null. */
export type StageFiles = readonly [stdin: number | 'ignore', stdout: number, stderr: number];

/** A container's first process, while it is still ours and after. */
export class StageProcess {
  readonly pid: number;
  /** Docker's exit code of the container. */
  readonly exited: Promise<number>;
  /** Undefined once the stage has become the command. */
  readonly failure: Promise<StageFailure | undefined>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    // Told by the missing pid.
    child.on('error', () => undefined);
    if (child.pid === undefined) throw new Error('cannot start the first process of the container');
    this.#child = child;
    this.pid = child.pid;
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        resolve(code ?? EXIT.signal + (signal === null ? 0 : constants.signals[signal]));
      });
    });
    this.failure = readFailure(child.stdio[STATUS_FD] as Readable);
    // A stage that ends early closes its pipe; its exit code and its message say all.
    this.#specPipe.on('error', () => undefined);
  }

  /**
   * Starts a stage in a new pid namespace. It waits for its spec, so that it comes up while the client prepares.
   *
   * It is a child of this process, without unshare(1) between: the namespace is set for children of the main thread,
   * and set back at once.
   */
  static spawn(files: StageFiles): StageProcess {
    const own = openSync('/proc/thread-self/ns/pid', 'r');
    try {
      check(unshare(CLONE_NEWPID), 'make a pid namespace');
      try {
        return new StageProcess(spawnStage(files));
      } finally {
        check(setns(own, CLONE_NEWPID), 'return to the own pid namespace');
      }
    } finally {
      closeSync(own);
    }
  }

  get #specPipe(): Writable {
    return this.#child.stdio[SPEC_FD] as Writable;
  }

  send(spec: StageSpec): void {
    this.#specPipe.end(JSON.stringify(spec));
  }

  kill(signal: NodeJS.Signals): void {
    // One that has just ended is as good as killed.
    this.#child.kill(signal);
  }
}

function spawnStage(files: StageFiles): ChildProcess {
  return withProtectedNode((node) =>
    spawn(node, [STAGE], {
      argv0: 'lamina',
      cwd: '/',
      // Nothing of the user's environment: NODE_OPTIONS could load code into the stage.
      env: {},
      // A session of its own: a container must not reach the terminal of its caller (TIOCSTI).
      detached: true,
      stdio: [...files, 'pipe', 'pipe'],
    }),
  );
}

async function readFailure(status: Readable): Promise<StageFailure | undefined> {
  const chunks: Buffer[] = [];
  for await (const chunk of status) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  return text === '' ? undefined : (JSON.parse(text) as StageFailure);
}
