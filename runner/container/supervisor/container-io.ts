import { type StageFiles } from '../stage-process.ts';
import { type InputPipe } from './input-pipe.ts';
import { type Output } from './output.ts';

/** What connects the standard files of one run of a container with those who read and write them. */
export interface ContainerIo {
  readonly files: StageFiles | 'terminal';
  /** What the container writes, as far as it passes through this process. */
  readonly output: Output | undefined;
  /** What those who attach write to, where the container reads from this process. */
  readonly input: InputPipe | undefined;
  /** The terminal's size has changed for who is attached. */
  resize?(rows: number, columns: number): void;
  /** Closes our copies of the container's ends: to be called when the stage has been started. */
  handOver(): void;
  /** Resolves when all that the container wrote is in its log and with those who read it. */
  drain(): Promise<void>;
}
