import { loadKoffi } from './koffi.ts';

/**
 * Ends the process at once, whatever its threads are doing: Node's own exit waits for a worker that is blocked in a
 * system call. What is still in the buffers of pipes is lost: write it first.
 */
export function exitNow(status: number): void {
  exit(status);
  // Without koffi no thread has come to block.
  process.exit(status);
}

function exit(status: number): void {
  try {
    // Loaded here, since most who may need it never do.
    loadKoffi().load(null).func('void _exit(int status)')(status);
  } catch {
    // Whoever needed more of it has said so.
  }
}
