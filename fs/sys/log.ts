import { write } from './file.ts';
import { Memory } from './memory.ts';

const STDERR = 2;

/**
 * Writes a line to standard error by a system call of its own: what Node writes from a worker waits for the main
 * thread, and for a turn of an event loop that a serving worker does not take.
 */
export function log(line: string): void {
  const text = `${new Date().toISOString()} lamina: ${line}\n`;
  const memory = new Memory(Buffer.byteLength(text));
  memory.bytes.write(text);
  write(STDERR, memory.address, memory.size);
}
