import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Whose rights an agent has. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** A system call that failed, with the name of its errno as `code`. */
class CallError extends Error {
  override readonly name = 'CallError';
  readonly code: string;

  constructor(call: string, code: string) {
    super(`${call}: ${code}`);
    this.code = code;
  }
}

type Parameter = number | bigint | Buffer | null;

interface Reply {
  readonly id: number;
  readonly value: number | bigint;
  readonly errno: number;
  readonly out: readonly Uint8Array[];
  readonly failure?: string;
}

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));
const READY = 0;
const PATIENCE = 5_000;

function errnoName(errno: number): string {
  // Two names for one number on Linux.
  if (errno === constants.errno.EOPNOTSUPP) return 'EOPNOTSUPP';
  if (errno === constants.errno.EAGAIN) return 'EAGAIN';
  return ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
}

/** The name of the errno with which `call` fails, or `none`. */
export async function errnoOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'none';
  } catch (error) {
    if (error instanceof CallError) return error.code;
    throw error;
  }
}

/** A process that makes system calls on request; `System` gives them names. */
export class Agent {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #last = READY;
  #stderr = '';

  /** @param prefix a command that starts another, such as `nsenter ... --`. */
  constructor(prefix: readonly string[], identity: Identity | undefined) {
    const script = join(import.meta.dirname, 'agent.js');
    const parameters = [script, JSON.stringify(identity ?? null)];
    const [file = process.execPath, ...rest] = [...prefix, process.execPath].concat(parameters);
    this.#child = spawn(file, rest, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], serialization: 'advanced' });
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()));
    this.#child.on('message', (reply) => this.#settle(reply as Reply));
    this.#child.on('exit', (code, signal) => this.#abandon(`agent ended (${signal ?? code}): ${this.#stderr}`));
    this.#child.on('error', (error) => this.#abandon(String(error)));
  }

  /** The agent's process, as the spawner sees it. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Waits until the agent has taken its identity. */
  async ready(): Promise<void> {
    await new Promise<Reply>((resolve, reject) => this.#waiting.set(READY, { resolve, reject }));
  }

  /**
   * Calls a C function.
   *
   * @param out indices of the buffers to be sent back.
   */
  call(prototype: string, parameters: readonly Parameter[], out: readonly number[] = []): Promise<Reply> {
    const id = ++this.#last;
    return new Promise<Reply>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, prototype, parameters, out }, (error) => {
        if (error) this.#settle({ id, value: -1, errno: 0, out: [], failure: String(error) });
      });
    });
  }

  /** As `call`, for a function that answers -1 and errno where it fails; rejects with a `CallError` then. */
  async check(prototype: string, parameters: readonly Parameter[], out: readonly number[] = []): Promise<Reply> {
    const reply = await this.call(prototype, parameters, out);
    if (Number(reply.value) === -1) throw new CallError(describe(prototype, parameters), errnoName(reply.errno));
    return reply;
  }

  /** Ends the process. One that hangs in a dead mount's call ends later, when the kernel lets go of it. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await Promise.race([ended, sleep(PATIENCE, undefined, { ref: false })]);
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.failure === undefined) waiting?.resolve(reply);
    else waiting?.reject(new Error(reply.failure));
  }

  #abandon(reason: string): void {
    for (const waiting of this.#waiting.values()) waiting.reject(new Error(reason));
    this.#waiting.clear();
  }
}

function describe(prototype: string, parameters: readonly Parameter[]): string {
  const name = /(\w+)\(/.exec(prototype)?.[1] ?? prototype;
  const shown = parameters.map((parameter) =>
    Buffer.isBuffer(parameter)
      ? parameter.toString('latin1', 0, Math.min(60, parameter.length)).split('\0', 1)[0]
      : parameter,
  );
  return `${name}(${shown.join(', ')})`;
}
