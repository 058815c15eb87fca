import { writeSync } from 'node:fs';

/**
 * Writes to standard output by system calls, all of it. A reader that has gone, as `head` does, ends the program
 * quietly, as SIGPIPE would have.
 */
export function print(output: string | Uint8Array): void {
  writeAll(1, output);
}

/**
 * Writes to standard error by system calls: the stream that Node would make of it may be a container's too, and stays as it
 * was handed to us.
 */
export function printError(output: string): void {
  writeAll(2, output);
}

function writeAll(fd: number, output: string | Uint8Array): void {
  const bytes = typeof output === 'string' ? Buffer.from(output) : output;
  for (let at = 0; at < bytes.length;) at += writeSome(fd, bytes.subarray(at));
}

/** Exit code of a program that SIGPIPE has ended. */
export const BROKEN_PIPE = 141;

function writeSome(fd: number, bytes: Uint8Array): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EPIPE' && fd === 1) process.exit(BROKEN_PIPE);
    // Nobody is there to read what goes wrong.
    if (code === 'EPIPE') return bytes.length;
    // Another process has made the pipe non-blocking, and it is full.
    if (code !== 'EAGAIN') throw error;
    return 0;
  }
}
