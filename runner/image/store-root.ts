import { chmodSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { describeErrno } from '../../fs/sys/errno.ts';
import { homeDirectory } from '../container/home-directory.ts';
import { isRootless } from '../container/userns.ts';

/** Where images, layers and containers are kept: `$LAMINA_ROOT`, else root's place, else the user's own. */
export function storeRoot(): string {
  const { LAMINA_ROOT: chosen, XDG_DATA_HOME: dataHome } = process.env;
  if (chosen) return resolve(chosen);
  if (!isRootless()) return '/var/lib/lamina';
  return join(dataHome?.startsWith('/') === true ? dataHome : join(homeDirectory(), '.local/share'), 'lamina');
}

/** What makes a directory that is not empty recognizable as a store. */
export const LAYOUT_FILE = 'oci-layout';

/**
 * Makes the store's directory where it is missing. Nobody else may enter it: set-id files of image layers, old and
 * unpatched, would be there for every user to run (CVE-2021-41091).
 */
export function prepareRoot(root: string): void {
  makeDirectories(root);
  const { mode } = statSync(root);
  try {
    checkRoot(root);
    if ((mode & 0o077) !== 0) chmodSync(root, 0o700);
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    throw new Error(`cannot use the store ${root}: ${describeErrno(errno)}; ${CHOOSE}`, { cause: error });
  }
}

function checkRoot(root: string): void {
  if (!statSync(root).isDirectory()) throw new Error(`store ${root} is not a directory; ${CHOOSE}`);
  if (!existsSync(join(root, LAYOUT_FILE)) && !holdsOnlyOurs(root)) {
    throw new Error(`${root} is not empty and not a store of lamina; set LAMINA_ROOT to a directory of its own`);
  }
}

const CHOOSE = 'set LAMINA_ROOT to a directory in which you may write';

// Node's own recursive mkdir never ends where the kernel answers ENOENT for one whose parent is there, as in /proc.
function makeDirectories(path: string): void {
  const names = path.split('/').filter((name) => name !== '');
  names.forEach((_, at) => {
    const prefix = `/${names.slice(0, at + 1).join('/')}`;
    try {
      mkdirSync(prefix, { mode: 0o700 });
    } catch (error) {
      if (existsSync(prefix)) return;
      const { errno = 0 } = error as NodeJS.ErrnoException;
      const why = `${prefix}: ${describeErrno(errno)}`;
      throw new Error(`cannot make the store ${path}: ${why}; ${CHOOSE}`, { cause: error });
    }
  });
}

// A start that was cut short (index.json is there before what makes a layout of it), or another command in its first steps: containers may be there before the first image.
const OURS: ReadonlySet<string> = new Set([
  'blobs',
  'containers',
  'host',
  'holds',
  'index.json',
  'layers',
  'lock',
  'lock.collect',
  'sources',
  'tmp',
  'volumes',
]);

function holdsOnlyOurs(root: string): boolean {
  return readdirSync(root).every((name) => OURS.has(name));
}
