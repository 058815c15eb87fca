import { type TerminalSize } from '../../../fs/sys/terminal.ts';
import { type StageFiles } from '../stage-process.ts';
import { type PseudoTerminal } from '../terminal/pseudo-terminal.ts';
import { type Output } from './output.ts';

/** What those who attach write to. */
export interface ContainerInput {
  /** Where the container is behind, answers when more can be taken. */
  write(chunk: Buffer): Promise<unknown> | undefined;
  /** The container reads end of file. */
  end(): void;
}

/** What connects the standard files of one run of a container with those who read and write them. */
export interface ContainerIo {
  readonly files: StageFiles | 'terminal';
  /** What the container writes, as far as it passes through this process. */
  readonly output: Output | undefined;
  /** What those who attach write to, where the container reads from this process. */
  readonly input: ContainerInput | undefined;
  /** Of the terminal that is to be made, as far as a client has said it. */
  readonly size?: TerminalSize | undefined;
  /** The terminal's size has changed for who is attached. */
  resize?(size: TerminalSize): void;
  /** To be called with the terminal that the stage has made, or without where it has failed. */
  adopt?(terminal: PseudoTerminal | undefined): void;
  /** Closes our copies of the container's ends: to be called when the stage has been started. */
  handOver(): void;
  /** Resolves when all that the container wrote is in its log and with those who read it. */
  drain(): Promise<void>;
}
