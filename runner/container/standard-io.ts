import { type Stats, createReadStream, createWriteStream, fstatSync, readlinkSync } from 'node:fs';
import { Socket } from 'node:net';
import { type Readable } from 'node:stream';
import { close } from '../../fs/sys/file.ts';
import { type StreamName } from './logs/json-log.ts';
import { ClientOutput, isStream, type StandardStreams } from './client-output.ts';
import { type StageFiles } from './stage-process.ts';
import { type ContainerIo } from './supervisor/container-io.ts';
import { Output } from './supervisor/output.ts';
import { makePipe } from './pipe.ts';

/**
 * The client's own standard files as those of a container that it runs itself. Where there is no log, pipes and /dev/null
 * are handed over. A terminal is not, since whoever has its descriptor can read what is typed and change its settings,
 * nor a socket, which /dev/stdout cannot be opened on, nor a file or a FIFO with a name, which root of the container
 * could open again for writing through /proc/self/fd, or make set-uid: between these and the container lies a pipe, and
 * this process copies.
 */
export class StandardIo implements ContainerIo {
  readonly files: StageFiles;
  readonly output: Output | undefined;
  readonly input = undefined;
  /** Our copies of the container's ends; to be closed once the stage has its own. */
  readonly #theirs: number[] = [];
  readonly #pipes: Partial<Record<StreamName, Socket>> = {};
  readonly #pumps: Promise<void>[] = [];
  readonly #copies = new Output();
  readonly #client: ClientOutput;
  #source: Readable | undefined;

  /** @param isLogged all that the container writes passes through this process. */
  constructor(streams: StandardStreams, isLogged: boolean) {
    // Where nobody reads our output any more the container gets EPIPE, as it would from a plain pipe.
    this.#client = new ClientOutput(streams, (stream) => this.#pipes[stream]?.destroy());
    this.#copies.add(this.#client);
    const stdin = streams.stdin ? this.#input() : 'ignore';
    const stdout = this.#output('stdout', streams.stdout, isLogged);
    // Two names of one file share a pipe: what is written to both keeps its order.
    const isShared = streams.stdout && streams.stderr && stdout !== 1 && isSameFile(1, 2);
    this.files = [stdin, stdout, isShared ? stdout : this.#output('stderr', streams.stderr, isLogged)];
    const isWhole = [1, 2].every((at) => this.files[at] !== at);
    this.output = isWhole ? this.#copies : undefined;
  }

  #input(): number {
    if (!mustCopy(0)) return 0;
    const { readEnd, writeEnd } = makePipe();
    this.#theirs.push(readEnd);
    const pipe = createWriteStream('', { fd: writeEnd });
    // A container that ends, or that reads no more, is no error of ours.
    pipe.on('error', () => source.destroy());
    const source = isStream(0) ? process.stdin : createReadStream('', { fd: 0, autoClose: false });
    // As where it ends.
    source.on('error', () => pipe.end());
    source.pipe(pipe);
    this.#source = source;
    return readEnd;
  }

  #output(stream: StreamName, isWanted: boolean, isLogged: boolean): number {
    const fd = DESCRIPTORS[stream];
    if (isWanted && !mustCopy(fd) && !isLogged) return fd;
    const { readEnd, writeEnd } = makePipe();
    this.#theirs.push(writeEnd);
    const pipe = new Socket({ fd: readEnd, readable: true, writable: false });
    this.#pipes[stream] = pipe;
    this.#pumps.push(this.#copies.pump(pipe, stream));
    return writeEnd;
  }

  handOver(): void {
    for (const fd of this.#theirs.splice(0)) close(fd);
  }

  /** Stops reading our standard input, too. */
  async drain(): Promise<void> {
    this.handOver();
    this.#source?.destroy();
    await Promise.allSettled(this.#pumps);
    await this.#client.flush();
    this.#copies.close();
  }

  /** Throws where something that the container wrote has been lost: its own exit code does not tell. */
  checkWritten(): void {
    if (this.#client.failure !== undefined) throw this.#client.failure;
  }
}

const DESCRIPTORS = { stdout: 1, stderr: 2 } as const;
const NAMES = ['standard input', 'standard output', 'standard error'] as const;

function mustCopy(fd: 0 | 1 | 2): boolean {
  const stat = fstatSync(fd);
  if (stat.isDirectory()) throw new Error(`${NAMES[fd]} is a directory: redirect it from or to a file`);
  return !isNull(stat) && !isPipe(fd, stat);
}

// Linux's Documentation/admin-guide/devices.txt: major 1, minor 3.
const NULL_DEVICE = 0x103;

function isNull(stat: Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === NULL_DEVICE;
}

/** A pipe without a name. The kernel's name of a FIFO is its path, which begins with a slash. */
function isPipe(fd: number, stat: Stats): boolean {
  return stat.isFIFO() && readlinkSync(`/proc/self/fd/${fd}`).startsWith('pipe:');
}

function isSameFile(one: number, other: number): boolean {
  const [left, right] = [fstatSync(one), fstatSync(other)];
  return left.dev === right.dev && left.ino === right.ino;
}
