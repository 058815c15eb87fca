import { close, dup3, pread } from './file.ts';
import { fcntl } from './fcntl.ts';
import { bind, result } from './libc.ts';
import { Memory } from './memory.ts';
import { firstPath } from './bytes.ts';

const nativeMemfdCreate = bind('int memfd_create(uintptr_t name, uint32_t flags)');

const STDERR = 2;
const MFD_CLOEXEC = 1;
const F_DUPFD_CLOEXEC = 1030;
const LONGEST = 4096;

/**
 * Runs `action`, which must not throw, while standard error is a file in memory; answers what it has written there. For
 * libraries that tell their reasons in no other way.
 */
export function captureStandardError(action: () => void): string {
  const saved = fcntl(STDERR, F_DUPFD_CLOEXEC, STDERR + 1);
  const fd = saved < 0 ? saved : result(nativeMemfdCreate(firstPath('stderr'), MFD_CLOEXEC));
  if (fd < 0) {
    action();
    return '';
  }
  dup3(fd, STDERR, 0);
  action();
  dup3(saved, STDERR, 0);
  const text = new Memory(LONGEST);
  const length = Math.max(0, pread(fd, text.address, LONGEST, 0));
  close(fd);
  close(saved);
  return text.bytes.toString('utf8', 0, length);
}
