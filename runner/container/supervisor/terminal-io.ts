import { type TerminalSize } from '../../../fs/sys/terminal.ts';
import { type PseudoTerminal } from '../terminal/pseudo-terminal.ts';
import { type ContainerInput, type ContainerIo } from './container-io.ts';
import { Deferred } from './deferred.ts';
import { Output } from './output.ts';
import { untilWritable } from './until-writable.ts';

/** A terminal, which is made inside, for a process whose readers and writers come and go. */
export class TerminalIo implements ContainerIo {
  readonly files = 'terminal';
  /** As docker has it, what a terminal shows is all standard output. */
  readonly output = new Output();
  readonly input: ContainerInput | undefined;
  /** That of who has resized it last. */
  size: TerminalSize | undefined;
  readonly #terminal = new Deferred<PseudoTerminal | undefined>();
  #open: PseudoTerminal | undefined;
  #pump: Promise<void> | undefined;

  /** @param interactive what those who are attached type goes to the process. */
  constructor(interactive: boolean) {
    this.input = interactive ? new TerminalInput(this.#terminal.promise) : undefined;
  }

  adopt(terminal: PseudoTerminal | undefined): void {
    this.#open = terminal;
    if (terminal !== undefined) {
      // What was said meanwhile, too.
      if (this.size !== undefined) terminal.resize(this.size);
      this.#pump = this.output.pump(terminal, 'stdout');
    }
    this.#terminal.resolve(terminal);
  }

  resize(size: TerminalSize): void {
    this.size = size;
    this.#open?.resize(size);
  }

  handOver(): void {
    // The stage has made nothing yet that is ours.
  }

  async drain(): Promise<void> {
    this.#terminal.resolve(undefined);
    this.#open?.finish();
    await this.#pump;
    this.output.close();
  }

  /** The session gets SIGHUP. */
  hangUp(): void {
    this.#open?.destroy();
  }
}

/** What is typed waits until there is a terminal. */
class TerminalInput implements ContainerInput {
  readonly #terminal: Promise<PseudoTerminal | undefined>;

  constructor(terminal: Promise<PseudoTerminal | undefined>) {
    this.#terminal = terminal;
  }

  async write(chunk: Buffer): Promise<void> {
    const terminal = await this.#terminal;
    if (terminal === undefined || terminal.destroyed || terminal.writableEnded || terminal.write(chunk)) return;
    await untilWritable(terminal);
  }

  end(): void {
    // A terminal has no end: others may attach and type.
  }
}
