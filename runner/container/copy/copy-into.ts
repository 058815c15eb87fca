import { readSync, writeSync } from 'node:fs';
import { type ByteString } from '../../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY } from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close, openat } from '../../../fs/sys/file.ts';

const CHUNK = 1 << 20;

/** Writes one regular file's content over another's, both in `parent`. */
export function copyInto(parent: number, from: ByteString, to: ByteString): void {
  const source = check(openat(parent, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), 'open the copy');
  const target = openat(parent, to, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
  try {
    check(target, 'open the file that is mounted there');
    const buffer = Buffer.allocUnsafe(CHUNK);
    for (let length = readSync(source, buffer); length > 0; length = readSync(source, buffer)) {
      for (let at = 0; at < length;) at += writeSync(target, buffer, at, length - at);
    }
  } finally {
    close(source);
    if (target >= 0) close(target);
  }
}
