import { type ByteString } from '../sys/bytes.ts';
import { close, statat } from '../sys/file.ts';
import { duplicate } from '../sys/process.ts';
import { discard } from './discard.ts';
import { numberOfTemporary } from './temporary-name.ts';
import { type Union } from './union.ts';
import { type Workdir } from './workdir.ts';

/** Bytes of a directory, on disk, with some thousands of names: to remove them takes longer than another thread to be told. */
const LARGE = 64 << 10;

/** Removes a directory that was moved into the workdir, which nobody sees any more; a large one keeps nobody waiting. */
export function discardDirectory(union: Union, workdir: Workdir, temporary: ByteString): void {
  const isLarge = statat(workdir.fd, temporary, union.scratch) === 0 && union.scratch.size >= LARGE;
  if (!isLarge || !handOver(union, workdir, temporary)) discard(workdir.fd, temporary);
}

function handOver(union: Union, workdir: Workdir, temporary: ByteString): boolean {
  // The union may be closed before the lane comes to it.
  const own = union.slowLane === undefined ? -1 : duplicate(workdir.fd);
  if (own < 0) return false;
  const isTaken = union.slowLane?.discard(own, numberOfTemporary(temporary)) === true;
  if (!isTaken) close(own);
  return isTaken;
}
