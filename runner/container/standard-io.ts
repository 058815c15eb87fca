import { type Stats, createReadStream, createWriteStream, fstatSync, readlinkSync } from 'node:fs';
import { Socket } from 'node:net';
import { finished } from 'node:stream/promises';
import { type Readable, type Writable } from 'node:stream';
import { isatty } from 'node:tty';
import { O_CLOEXEC } from '../../fs/sys/constants.ts';
import { SystemError } from '../../fs/sys/errno.ts';
import { close } from '../../fs/sys/file.ts';
import { pipe2 } from '../../fs/sys/process.ts';
import { type StageFiles } from './stage-process.ts';

/**
 * What a container gets as its standard files. Pipes and /dev/null are handed over. A terminal is not, since whoever
 * has its descriptor can read what is typed and change its settings, nor a socket, which /dev/stdout cannot be opened
 * on, nor a file or a FIFO with a name, which root of the container could open again for writing through
 * /proc/self/fd, or make set-uid: between these and the container lies a pipe, and this process copies.
 */
export class StandardIo {
  readonly files: StageFiles;
  /** Our copies of the container's ends; to be closed once the stage has its own. */
  readonly #theirs: number[] = [];
  readonly #copies: Promise<void>[] = [];
  #source: Readable | undefined;
  #failure: Error | undefined;

  /** @param interactive keep standard input open; without it the container reads end of file. */
  constructor(interactive: boolean) {
    const input = interactive ? this.#input() : 'ignore';
    const output = this.#output(1);
    // Two names of one file share a pipe: what is written to both keeps its order.
    this.files = [input, output, output !== 1 && isSameFile(1, 2) ? output : this.#output(2)];
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

  #output(fd: 1 | 2): number {
    if (!mustCopy(fd)) return fd;
    const { readEnd, writeEnd } = makePipe();
    this.#theirs.push(writeEnd);
    const pipe = new Socket({ fd: readEnd, readable: true, writable: false });
    const ours = openOutput(fd);
    // Where nobody reads our output any more the container gets EPIPE, as it would from a plain pipe.
    ours.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') this.#failure ??= new Error(`cannot write to ${NAMES[fd]}: ${error.message}`);
      pipe.destroy();
    });
    pipe.pipe(ours, { end: false });
    this.#copies.push(copied(pipe, ours));
    return writeEnd;
  }

  /** To be called when the stage has been started. */
  handOver(): void {
    for (const fd of this.#theirs.splice(0)) close(fd);
  }

  /** Resolves when all that the container wrote has been copied; stops reading our standard input. */
  async drain(): Promise<void> {
    this.handOver();
    this.#source?.destroy();
    await Promise.all(this.#copies);
  }

  /** Throws where something that the container wrote has been lost: its own exit code does not tell. */
  checkWritten(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

/** Resolves when all that came from `pipe` has left `ours`. */
async function copied(pipe: Socket, ours: Writable): Promise<void> {
  await finished(pipe, { writable: false }).catch(() => undefined);
  await new Promise<void>((resolve) => {
    // One that failed and is not destroyed keeps what it is given, and never answers.
    if (ours.destroyed || ours.errored !== null) resolve();
    else ours.write('', () => resolve());
  });
}

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

/** Whether Node's own stream serves; those of other kinds of files lose what they cannot write. */
function isStream(fd: number): boolean {
  return isatty(fd) || fstatSync(fd).isSocket();
}

function openOutput(fd: 1 | 2): Writable {
  if (!isStream(fd)) return createWriteStream('', { fd, autoClose: false });
  return fd === 1 ? process.stdout : process.stderr;
}

function isSameFile(one: number, other: number): boolean {
  const [left, right] = [fstatSync(one), fstatSync(other)];
  return left.dev === right.dev && left.ino === right.ino;
}

function makePipe(): { readonly readEnd: number; readonly writeEnd: number } {
  const pipe = pipe2(O_CLOEXEC);
  if (typeof pipe === 'number') throw new SystemError('make a pipe', pipe);
  return pipe;
}
