import { createRequire } from 'node:module';
import type koffi from 'koffi';

/**
 * Ends the process at once, whatever its threads are doing: Node's own exit waits for a worker that is blocked in a
 * system call. What is still in the buffers of pipes is lost: write it first.
 */
export function exitNow(status: number): void {
  // Loaded here, since most who may need it never do.
  const native = createRequire(import.meta.url)('koffi') as typeof koffi;
  native.load(null).func('void _exit(int status)')(status);
}
