import { constants } from 'node:os';
import { EXIT } from './spec.ts';
import { type StageProcess } from './stage-process.ts';

const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

/** Hands the client's signals on to the container's first process; before there is a command, they end the start. */
export class SignalForwarder {
  readonly #stage: StageProcess;
  readonly #listener = (signal: NodeJS.Signals): void => this.#receive(signal);
  #begun = false;
  /** Exit code of a start that a signal ended. */
  abortCode: number | undefined;
  /** Settled with that code, where a signal ends the start. */
  readonly aborted: Promise<number>;
  #abort: (exitCode: number) => void = () => undefined;

  constructor(stage: StageProcess) {
    this.#stage = stage;
    this.aborted = new Promise((resolve) => (this.#abort = resolve));
    for (const signal of FORWARDED) process.on(signal, this.#listener);
  }

  /** The stage has become the command. */
  begin(): void {
    this.#begun = this.abortCode === undefined;
  }

  #receive(signal: NodeJS.Signals): void {
    if (this.#begun) {
      this.#stage.kill(signal);
      return;
    }
    this.abortCode ??= EXIT.signal + constants.signals[signal];
    this.#stage.kill('SIGKILL');
    this.#abort(this.abortCode);
  }

  close(): void {
    for (const signal of FORWARDED) process.off(signal, this.#listener);
  }
}
