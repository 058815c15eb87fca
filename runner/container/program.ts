import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

// Where system programs are even when a user's PATH leaves them out, as Debian's does.
const SYSTEM_DIRECTORIES = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Absolute path of a program of this machine, or undefined. */
export function lookForProgram(name: string): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_DIRECTORIES];
  return directories
    .filter((directory) => directory.startsWith('/'))
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

/** @param debianPackage what to install where the program is missing. */
export function findProgram(name: string, debianPackage: string): string {
  const found = lookForProgram(name);
  if (found !== undefined) return found;
  throw new Error(`${name} is not installed; as root: apt-get install ${debianPackage}`);
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
