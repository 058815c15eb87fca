import { Socket } from 'node:net';
import { close } from '../../../fs/sys/file.ts';
import { type StreamName } from '../logs/json-log.ts';
import { type StageFiles } from '../stage-process.ts';
import { type ContainerIo } from './container-io.ts';
import { InputPipe } from './input-pipe.ts';
import { Output } from './output.ts';
import { makePipe } from '../pipe.ts';

/** Pipes, for a container whose readers and writers come and go. */
export class PipeIo implements ContainerIo {
  readonly files: StageFiles;
  readonly output = new Output();
  readonly input: InputPipe | undefined;
  readonly #theirs: number[] = [];
  readonly #pumps: Promise<void>[] = [];

  /** @param interactive keep standard input open; without it the container reads end of file. */
  constructor(interactive: boolean) {
    let stdin: number | 'ignore' = 'ignore';
    if (interactive) {
      const { readEnd, writeEnd } = makePipe();
      this.#theirs.push(readEnd);
      this.input = new InputPipe(writeEnd);
      stdin = readEnd;
    }
    this.files = [stdin, this.#pipe('stdout'), this.#pipe('stderr')];
  }

  #pipe(stream: StreamName): number {
    const { readEnd, writeEnd } = makePipe();
    this.#theirs.push(writeEnd);
    this.#pumps.push(this.output.pump(new Socket({ fd: readEnd, readable: true, writable: false }), stream));
    return writeEnd;
  }

  handOver(): void {
    for (const fd of this.#theirs.splice(0)) close(fd);
  }

  async drain(): Promise<void> {
    this.handOver();
    this.input?.close();
    await Promise.allSettled(this.#pumps);
    this.output.close();
  }
}
