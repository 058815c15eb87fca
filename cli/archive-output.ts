import { isatty } from 'node:tty';

import { messageOf } from './complain.ts';
import { BROKEN_PIPE } from './print.ts';

const STANDARD_OUTPUT = 1;

/**
 * Has `write` write an archive to what `--output` names, or to standard output, which must be no terminal then.
 *
 * @param attempt for messages: `save debian:12`.
 */
export async function writeArchive(
  attempt: string,
  output: string | undefined,
  write: (target: string | number) => Promise<void>,
): Promise<void> {
  const isStandard = isStandardOutput(output);
  try {
    await write(isStandard ? STANDARD_OUTPUT : output);
  } catch (error) {
    if (isStandard && (error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(BROKEN_PIPE);
    const where = isStandard ? 'standard output' : output;
    throw new Error(`cannot ${attempt} to ${where}: ${messageOf(error)}`, { cause: error });
  }
}

/** Refuses to print an archive: before anything else is done. */
export function refuseTerminal(verb: string, output: string | undefined): void {
  if (!isStandardOutput(output) || !isatty(STANDARD_OUTPUT)) return;
  throw new Error(`cannot ${verb} to a terminal; give a file with -o FILE, or redirect the output`);
}

function isStandardOutput(output: string | undefined): output is undefined | '-' {
  return output === undefined || output === '-';
}
