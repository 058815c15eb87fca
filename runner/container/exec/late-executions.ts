import { type Socket } from 'node:net';
import { type ExecRequest } from '../supervisor/control-protocol.ts';
import type { Executions } from './executions.ts';

/** The executions of a run, loaded when a client adds the first process: most containers get none. */
export class LateExecutions {
  readonly #parameters: ConstructorParameters<typeof Executions>;
  #executions: Promise<Executions> | undefined;

  /** What `Executions` is made with. */
  constructor(...parameters: ConstructorParameters<typeof Executions>) {
    this.#parameters = parameters;
  }

  /** Adds a process, and answers the client through its connection, which is paused. */
  add(request: ExecRequest, socket: Socket): void {
    this.#executions ??= this.#load();
    this.#executions.then(
      (executions) => executions.add(request, socket),
      (error: unknown) => socket.destroy(error as Error),
    );
  }

  async #load(): Promise<Executions> {
    const { Executions } = await import('./executions.ts');
    return new Executions(...this.#parameters);
  }

  /** To be called after the end of the container's first process: ends the others. */
  async close(): Promise<void> {
    const executions = await this.#executions?.catch(() => undefined);
    await executions?.close();
  }
}
