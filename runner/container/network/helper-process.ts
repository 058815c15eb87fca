import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { O_CLOEXEC } from '../../../fs/sys/constants.ts';
import { SystemError } from '../../../fs/sys/errno.ts';
import { close } from '../../../fs/sys/file.ts';
import { pipe2 } from '../../../fs/sys/process.ts';
import { findProgram } from '../program.ts';

/** What is kept of what a helper says. */
const LONGEST_COMPLAINT = 4096;
const READY_SECONDS = 30;

export interface HelperCommand {
  readonly program: string;
  readonly debianPackage: string;
  readonly args: readonly string[];
  /** Of the container's network namespace, which becomes the program's standard input. */
  readonly namespace: number;
  /** Descriptors from 3 on: one of ours, or the other end of a stream that is ours. */
  readonly more?: readonly ('pipe' | number)[];
}

/** A program that is the outside of a container's network; it ends with this process. */
export class HelperProcess {
  readonly #name: string;
  readonly #child: ChildProcess;
  /** Its standard output: a pipe, which it may open by a path again, as it could not a socket. */
  readonly #output: Socket;
  readonly #ended: Promise<void>;
  #said = '';
  #isReady = false;
  #isStopped = false;

  constructor({ program: name, debianPackage, args, namespace, more = [] }: HelperCommand) {
    this.#name = name;
    const [program = '', ...rest] = [...dyingWithUs(), findProgram(name, debianPackage), ...args];
    const output = pipe2(O_CLOEXEC);
    if (typeof output === 'number') throw new SystemError(`make a pipe for ${name}`, output);
    const stdio: (number | 'pipe')[] = [namespace, output.writeEnd, 'pipe', ...more];
    this.#child = spawn(program, rest, { cwd: '/', env: {}, stdio });
    close(output.writeEnd);
    this.#output = new Socket({ fd: output.readEnd, readable: true, writable: false });
    this.#child.stderr?.on('data', (chunk: Buffer) => this.#listen(chunk.toString('utf8')));
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#listen(error.message);
        resolve();
      });
      this.#child.once('close', () => resolve());
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Of one that does not come up the beginning tells why, of one that ends later the end. */
  #listen(text: string): void {
    const all = this.#said + text;
    this.#said = this.#isReady ? all.slice(-LONGEST_COMPLAINT) : all.slice(0, LONGEST_COMPLAINT);
  }

  /**
   * Resolves when the program has written something to a descriptor, which it does when all is there.
   *
   * @throws where it ends before, with what it said.
   */
  async untilReady(fd: number): Promise<void> {
    const stream = fd === 1 ? this.#output : this.#child.stdio[fd];
    const written = new Promise<'ready'>((resolve) => stream?.once('data', () => resolve('ready')));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), READY_SECONDS * 1000);
    });
    try {
      const outcome = await Promise.race([written, this.#ended, late]);
      if (outcome !== 'ready') await this.#giveUp(outcome === 'late');
      this.#isReady = true;
      this.#said = '';
    } finally {
      clearTimeout(timer);
    }
  }

  async #giveUp(isLate: boolean): Promise<never> {
    const why = isLate ? `it did not get ready in ${READY_SECONDS} seconds` : this.#complaint();
    await this.stop();
    throw new Error(`${this.#name} did not make the network of the container: ${why}`);
  }

  /** Calls `lost` where the program ends by itself. */
  watch(lost: (message: string) => void): void {
    void this.#ended.then(() => {
      if (!this.#isStopped) lost(`${this.#name} has ended, and the container's network with it: ${this.#complaint()}`);
    });
  }

  /** The end of the program. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#child.kill('SIGKILL');
    await this.#ended;
    this.#output.destroy();
  }

  #complaint(): string {
    const lines = this.#said.split('\n').map((line) => line.trim());
    // An old pasta that finds no syslog says so for each of its lines, which it writes to standard error as well.
    const own = lines.filter((line) => line !== '' && !/^Failed to send \d+ bytes to syslog$/.test(line));
    const usage = own.findIndex((line) => line.startsWith('Usage:'));
    const { exitCode, signalCode } = this.#child;
    const words = own.slice(0, usage < 0 ? own.length : usage).join('; ');
    return words || `it said nothing, and ended with ${signalCode ?? exitCode ?? 'nothing'}`;
  }
}

/**
 * A command line that executes another which dies when this process does, and does not come up where that has happened
 * already. Node has no way to set that in a child.
 */
function dyingWithUs(): string[] {
  const setpriv = findProgram('setpriv', 'util-linux');
  return [setpriv, '--pdeathsig', 'KILL', '/bin/sh', '-c', '[ "$PPID" = "$0" ] && exec "$@"', String(process.pid)];
}
