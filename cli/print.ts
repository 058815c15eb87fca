import { writeSync } from 'node:fs';

/**
 * Writes to standard output by system calls, all of it. A reader that has gone, as `head` does, ends the program
 * quietly, as SIGPIPE would have.
 */
export function print(output: string | Uint8Array): void {
  const bytes = typeof output === 'string' ? Buffer.from(output) : output;
  for (let at = 0; at < bytes.length;) at += writeSome(bytes.subarray(at));
}

const BROKEN_PIPE = 141;

function writeSome(bytes: Uint8Array): number {
  try {
    return writeSync(1, bytes);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EPIPE') process.exit(BROKEN_PIPE);
    // Another process has made the pipe non-blocking, and it is full.
    if (code !== 'EAGAIN') throw error;
    return 0;
  }
}
