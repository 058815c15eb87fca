import { createWriteStream, fstatSync } from 'node:fs';
import { type Writable } from 'node:stream';
import { isatty } from 'node:tty';
import { setNonBlocking } from '../../fs/sys/event.ts';
import { type StreamName } from './logs/json-log.ts';
import { type OutputReader } from './supervisor/output.ts';
import { untilWritable } from './supervisor/until-writable.ts';

/** Which of the client's standard files the container is connected with. */
export interface StandardStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

const DESCRIPTORS = { stdout: 1, stderr: 2 } as const;
const NAMES = { stdout: 'standard output', stderr: 'standard error' } as const;

/** Our standard output and error, where what a container writes goes to. */
export class ClientOutput implements OutputReader {
  failure: Error | undefined;
  readonly #wanted: StandardStreams;
  readonly #stop: (stream: StreamName) => void;
  readonly #files = new Map<StreamName, Writable>();

  /** @param stop called where nothing of a stream can be written any more. */
  constructor(wanted: StandardStreams, stop: (stream: StreamName) => void) {
    this.#wanted = wanted;
    this.#stop = stop;
  }

  write(stream: StreamName, chunk: Buffer): Promise<void> | undefined {
    if (!this.#wanted[stream]) return undefined;
    const file = this.#file(stream);
    if (file.destroyed || file.errored !== null || file.write(chunk)) return undefined;
    return untilWritable(file);
  }

  #file(stream: StreamName): Writable {
    const open = this.#files.get(stream);
    if (open !== undefined) return open;
    const file = openOutput(DESCRIPTORS[stream]);
    file.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') this.failure ??= new Error(`cannot write to ${NAMES[stream]}: ${error.message}`);
      this.#stop(stream);
    });
    this.#files.set(stream, file);
    return file;
  }

  /** Resolves when all has been written that can be. */
  async flush(): Promise<void> {
    await Promise.all([...this.#files.values()].map(flushed));
  }
}

function flushed(file: Writable): Promise<void> {
  return new Promise((resolve) => {
    // One that failed and is not destroyed keeps what it is given, and never answers.
    if (file.destroyed || file.errored !== null) resolve();
    else file.write('', () => resolve());
  });
}

/** Whether Node's own stream serves; those of other kinds of files lose what they cannot write. */
export function isStream(fd: number): boolean {
  return isatty(fd) || fstatSync(fd).isSocket();
}

function openOutput(fd: 1 | 2): Writable {
  if (isStream(fd)) return fd === 1 ? process.stdout : process.stderr;
  // A pipe may be one that does not let wait: Node gives up after it has been full a few times.
  setNonBlocking(fd, false);
  return createWriteStream('', { fd, autoClose: false });
}
