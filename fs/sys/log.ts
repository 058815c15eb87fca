import { writeSync } from 'node:fs';

const STDERR = 2;

/**
 * Writes a line to standard error at once: what Node's streams write in a worker waits for the main thread, and for a
 * turn of an event loop that a serving worker does not take.
 */
export function log(line: string): void {
  try {
    writeSync(STDERR, `${new Date().toISOString()} lamina: ${line}\n`);
  } catch {
    // Nobody reads it: a log must not end what it tells of.
  }
}
