import { constants } from 'node:os';
import { SIGKILL } from './signals.ts';
import { EXIT } from './spec.ts';

const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

/** Somebody who sends a signal on. */
interface Signalled {
  kill(signal: number): void;
}

/** Hands the client's signals on to the container's first process; before there is a command, they end the start. */
export class SignalForwarder {
  #target: Signalled;
  readonly #listener = (signal: NodeJS.Signals): void => this.#receive(signal);
  #begun = false;
  /** Exit code of a start that a signal ended. */
  abortCode: number | undefined;
  /** Settled with that code, where a signal ends the start. */
  readonly aborted: Promise<number>;
  #abort: (exitCode: number) => void = () => undefined;

  /** @param target the stage, which is killed where a signal ends the start. */
  constructor(target: Signalled) {
    this.#target = target;
    this.aborted = new Promise((resolve) => (this.#abort = resolve));
    for (const signal of FORWARDED) process.on(signal, this.#listener);
  }

  /**
   * The stage has become the command.
   *
   * @param target takes the signals from here on; without it, they keep their effect on this process.
   */
  begin(target: Signalled | undefined): void {
    this.#begun = this.abortCode === undefined;
    if (target === undefined) this.close();
    else this.#target = target;
  }

  #receive(signal: NodeJS.Signals): void {
    if (this.#begun) {
      this.#target.kill(constants.signals[signal]);
      return;
    }
    this.abortCode ??= EXIT.signal + constants.signals[signal];
    this.#target.kill(SIGKILL);
    this.#abort(this.abortCode);
  }

  close(): void {
    for (const signal of FORWARDED) process.off(signal, this.#listener);
  }
}
