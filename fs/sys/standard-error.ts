import { close, dup3, pread } from './file.ts';
import { Memory } from './memory.ts';
import { memfdCreate } from './memory-file.ts';
import { duplicate } from './process.ts';

const STDERR = 2;
const LONGEST = 4096;

/**
 * Runs `action`, which must not throw, while standard error is a file in memory; answers what it has written there. For
 * libraries that tell their reasons in no other way.
 */
export function captureStandardError(action: () => void): string {
  const saved = duplicate(STDERR);
  const fd = saved < 0 ? saved : memfdCreate();
  if (fd < 0) {
    close(saved);
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
