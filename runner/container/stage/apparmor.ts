import { writeSync } from 'node:fs';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_WRONLY } from '../../../fs/sys/constants.ts';
import { ENOENT, check } from '../../../fs/sys/errno.ts';
import { close, openat } from '../../../fs/sys/file.ts';
import { PROC_SUPER_MAGIC, filesystemMagic } from './mounting.ts';

// The first is of Linux 5.8, which may have more than one such module at a time.
const FILES = ['/proc/thread-self/attr/apparmor/exec', '/proc/thread-self/attr/exec'];

/**
 * Has the next execve(2) of this thread put it under an AppArmor profile. To be called while /proc is the host's: what a
 * container has mounted there could make something else of what is written (CVE-2025-52881).
 */
export function changeProfileOnExec(profile: string): void {
  const fd = openFirst(FILES);
  check(fd, `put the container under the AppArmor profile ${profile}`);
  if (filesystemMagic(fd) !== PROC_SUPER_MAGIC) throw new Error('/proc is not procfs: no AppArmor profile can be set');
  writeSync(fd, toBytes(`exec ${profile}`), null, 'latin1');
  close(fd);
}

function openFirst(paths: readonly string[]): number {
  let opened = -ENOENT;
  for (const path of paths) if (opened < 0) opened = openat(-1, path, O_WRONLY | O_CLOEXEC);
  return opened;
}
