import { createWriteStream, fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { finished } from 'node:stream/promises';
import { type Writable } from 'node:stream';
import { isatty } from 'node:tty';
import { O_CLOEXEC } from '../../fs/sys/constants.ts';
import { SystemError } from '../../fs/sys/errno.ts';
import { close } from '../../fs/sys/file.ts';
import { pipe2 } from '../../fs/sys/process.ts';
import { type StageFiles } from './stage-process.ts';

/**
 * What a container gets as its standard files. Plain files and pipes are handed over; a terminal is not, since whoever
 * has its descriptor can read what is typed and change its settings, nor is a socket, which /dev/stdout cannot be
 * opened on: between these and the container lies a pipe, and this process copies.
 */
export class StandardIo {
  readonly files: StageFiles;
  /** Our copies of the container's ends; to be closed once the stage has its own. */
  readonly #theirs: number[] = [];
  readonly #copies: Promise<void>[] = [];

  /** @param interactive keep standard input open; without it the container reads end of file. */
  constructor(interactive: boolean) {
    this.files = [interactive ? this.#input() : 'ignore', this.#output(1), this.#output(2)];
  }

  #input(): number {
    if (!mustCopy(0)) return 0;
    const { readEnd, writeEnd } = makePipe();
    this.#theirs.push(readEnd);
    const pipe = createWriteStream('', { fd: writeEnd });
    // A container that ends, or that reads no more, is no error of ours.
    pipe.on('error', () => process.stdin.destroy());
    process.stdin.pipe(pipe);
    return readEnd;
  }

  #output(fd: 1 | 2): number {
    if (!mustCopy(fd)) return fd;
    const { readEnd, writeEnd } = makePipe();
    this.#theirs.push(writeEnd);
    const pipe = new Socket({ fd: readEnd, readable: true, writable: false });
    const ours: Writable = fd === 1 ? process.stdout : process.stderr;
    // Where nobody reads our output any more the container gets EPIPE, as it would from a plain pipe.
    ours.on('error', () => pipe.destroy());
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
    if (this.files[0] !== 'ignore' && this.files[0] !== 0) process.stdin.destroy();
    await Promise.all(this.#copies);
  }
}

/** Resolves when all that came from `pipe` has left `ours`. */
async function copied(pipe: Socket, ours: Writable): Promise<void> {
  await finished(pipe, { writable: false }).catch(() => undefined);
  await new Promise<void>((resolve) => {
    if (ours.destroyed) resolve();
    else ours.write('', () => resolve());
  });
}

function mustCopy(fd: number): boolean {
  return isatty(fd) || fstatSync(fd).isSocket();
}

function makePipe(): { readonly readEnd: number; readonly writeEnd: number } {
  const pipe = pipe2(O_CLOEXEC);
  if (typeof pipe === 'number') throw new SystemError('make a pipe', pipe);
  return pipe;
}
