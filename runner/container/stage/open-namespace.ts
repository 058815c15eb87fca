import { readlinkSync } from 'node:fs';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_RDONLY } from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { openat } from '../../../fs/sys/file.ts';
import { type JoinedNamespace } from '../spec.ts';

/** A process may end, and another get its number: what is opened is what was meant. */
export function openNamespace({ path, link }: JoinedNamespace): number {
  const fd = check(openat(-1, toBytes(path), O_RDONLY | O_CLOEXEC), `open ${path} of the other container`);
  if (readlinkSync(`/proc/thread-self/fd/${fd}`) === link) return fd;
  throw new Error(`the container whose namespace is ${link} has ended`);
}
