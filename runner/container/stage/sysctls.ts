import { writeSync } from 'node:fs';
import {
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_WRONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
} from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { close, openat, openat2 } from '../../../fs/sys/file.ts';
import { type Sysctl } from '../options/sysctls.ts';
import { PROC_SUPER_MAGIC, filesystemMagic } from './mounting.ts';

/**
 * Sets kernel parameters of the namespaces that this thread has entered, while /proc is the host's: which namespace's
 * they are is decided by who writes.
 */
export function setSysctls(sysctls: readonly Sysctl[]): void {
  if (sysctls.length === 0) return;
  const directory = check(openat(-1, '/proc/sys', O_PATH | O_DIRECTORY | O_CLOEXEC), 'open /proc/sys');
  if (filesystemMagic(directory) !== PROC_SUPER_MAGIC) throw new Error('/proc is not procfs: no sysctl can be set');
  for (const sysctl of sysctls) set(directory, sysctl);
  close(directory);
}

function set(directory: number, { path, value }: Sysctl): void {
  const flags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC;
  const opened = openat2(directory, toBytes(path), flags, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  const fd = check(opened, `set the kernel parameter ${path} of the container`);
  try {
    writeSync(fd, value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot set the kernel parameter ${path} of the container to ${JSON.stringify(value)}: ${why}`);
  } finally {
    close(fd);
  }
}
