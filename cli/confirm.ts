import { createInterface } from 'node:readline/promises';
import { print } from './print.ts';

/** Asks whether something is to be done; what is not a yes, the end of the input too, is a no. */
export async function confirm(warning: string): Promise<boolean> {
  print(`WARNING! ${warning}\nAre you sure you want to continue? [y/N] `);
  const input = createInterface({ input: process.stdin, terminal: false });
  try {
    for await (const line of input) return /^y(?:es)?$/i.test(line.trim());
    return false;
  } finally {
    input.close();
  }
}
