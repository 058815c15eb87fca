import { readFileSync } from 'node:fs';

// What these are is in Documentation/admin-guide/sysctl/fs.rst.
const SETTINGS = ['hardlinks', 'symlinks', 'regular', 'fifos'];

/**
 * The settings of the whole machine that decide what a user may link, follow and open in either union, as text. The
 * unions act at different moments: they differ where another program, such as a file system's tests, changes one.
 */
export function protections(): string {
  const value = (name: string) => readFileSync(`/proc/sys/fs/protected_${name}`, 'latin1').trim();
  return SETTINGS.map((name) => `fs.protected_${name}=${value(name)}`).join(' ');
}
