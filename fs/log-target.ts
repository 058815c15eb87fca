import { openSync } from 'node:fs';

/** A daemon's standard error: a file where LAMINA_LOG names one, else nothing. */
export function logTarget(): number | 'ignore' {
  const { LAMINA_LOG: path } = process.env;
  if (path === undefined || path === '') return 'ignore';
  try {
    return openSync(path, 'a', 0o600);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot open the log that LAMINA_LOG names: ${why}`, { cause: error });
  }
}
