import { SystemError } from '../../../fs/sys/errno.ts';
import { TerminalSettings, type TerminalSize, terminalSize } from '../../../fs/sys/terminal.ts';

// Signals that end a process by default, before it can put anything right: those that a client of a container may get.
const DEADLY = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM'] as const;

/** The size of the terminal on one of the standard files, or undefined where none is a terminal that knows its size. */
export function sizeOfStandardFiles(): TerminalSize | undefined {
  for (const fd of [0, 1, 2]) {
    const size = terminalSize(fd);
    if (typeof size !== 'number' && size.rows > 0 && size.columns > 0) return size;
  }
  return undefined;
}

/** Calls `listener` with the new size each time that the client's terminal changes it; answers how to end that. */
export function watchSize(listener: (size: TerminalSize) => void): () => void {
  const changed = (): void => {
    const size = sizeOfStandardFiles();
    if (size !== undefined) listener(size);
  };
  process.on('SIGWINCH', changed);
  return () => process.off('SIGWINCH', changed);
}

/**
 * The terminal of standard input, raw: each key goes to the container as it is typed, ^C and ^Z too.
 *
 * It gets its former settings back, all of them, however this process ends but by SIGKILL: by `restore`, by its exit, by
 * a signal that nobody else listens to; and while it is suspended.
 */
export class RawTerminal {
  readonly #fd: number;
  readonly #former: TerminalSettings;
  readonly #raw: TerminalSettings;
  readonly #restore = (): void => this.restore();
  readonly #die = (signal: NodeJS.Signals): void => this.#receive(signal);
  readonly #suspend = (): void => this.#stop();
  readonly #resume = (): void => void this.#raw.apply(this.#fd);
  #isRaw = true;

  private constructor(fd: number, former: TerminalSettings) {
    this.#fd = fd;
    this.#former = former;
    this.#raw = former.toRaw();
    process.on('exit', this.#restore);
    for (const signal of DEADLY) process.on(signal, this.#die);
    process.on('SIGTSTP', this.#suspend);
    process.on('SIGCONT', this.#resume);
    this.#raw.apply(fd);
  }

  /** @throws where `fd` is no terminal. */
  static enter(fd: number): RawTerminal {
    const former = TerminalSettings.of(fd);
    if (typeof former === 'number') throw new SystemError('read the settings of the terminal', former);
    return new RawTerminal(fd, former);
  }

  restore(): void {
    if (!this.#isRaw) return;
    this.#isRaw = false;
    this.#former.apply(this.#fd);
    process.off('exit', this.#restore);
    for (const signal of DEADLY) process.off(signal, this.#die);
    process.off('SIGTSTP', this.#suspend);
    process.off('SIGCONT', this.#resume);
  }

  /** Who listens to the signal beside us decides what becomes of this process; else it ends as it would have. */
  #receive(signal: NodeJS.Signals): void {
    if (process.listenerCount(signal) > 1) return;
    this.restore();
    process.kill(process.pid, signal);
  }

  #stop(): void {
    this.#former.apply(this.#fd);
    process.kill(process.pid, 'SIGSTOP');
  }
}
