import { printError } from './print.ts';
import { printable } from './printable.ts';

/** What went wrong, as text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Says `message` in one line of standard error. */
export function complain(message: string): void {
  printError(`lamina: ${printable(message)}\n`);
}
