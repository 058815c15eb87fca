import { printError } from './print.ts';
import { printable } from './printable.ts';

const SPACE =
  'free some space ("lamina system df" tells what the store takes), or set LAMINA_ROOT to a directory of another filesystem';

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: SPACE,
  EDQUOT: SPACE,
  EMFILE: 'raise the limit of open files: ulimit -n 1024',
  ENFILE: 'as root: sysctl -w fs.file-max=1000000',
  EFBIG: 'raise the limit of file sizes: ulimit -f unlimited',
};

// As Node's own errors are: "ENOSPC: no space left on device, write", "EACCES: permission denied, open '/a'".
const NODES = /\b(E[A-Z0-9]+): ([^,:]+), ([a-z]+)((?: '.*')?)$/s;

// Node's words where a thread cannot be started.
const THREADS = /^Worker initialization failure: (E[A-Z]+)$/;

// A package by which libc is called; its native part is one of its optional packages.
const KOFFI = /^Cannot find .*\bkoffi\b/i;

/** What went wrong, as text. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (KOFFI.test(message))
    return `${message}; install lamina anew with its optional packages: npm install --include=optional`;
  return message
    .replace(THREADS, 'cannot start a thread ($1)')
    .replace(NODES, 'cannot $3$4: $2 ($1)')
    .replace(/\((E[A-Z]+)\)$/, (end, code: string) => `${end}${remedyFor(code)}`);
}

function remedyFor(code: string): string {
  const remedy = REMEDIES[code];
  return remedy === undefined ? '' : `; ${remedy}`;
}

/** Says `message` in one line of standard error. */
export function complain(message: string): void {
  printError(`lamina: ${printable(message)}\n`);
}
