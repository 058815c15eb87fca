import { closeSync, openSync, readSync } from 'node:fs';

const LARGEST = 1 << 20;

/** Text of a file, cut at a sane size (bytes); empty where there is none. */
export function readText(path: string): string {
  try {
    const fd = openSync(path, 'r');
    try {
      const buffer = Buffer.alloc(LARGEST);
      return buffer.toString('utf8', 0, readSync(fd, buffer));
    } finally {
      closeSync(fd);
    }
  } catch {
    return '';
  }
}
