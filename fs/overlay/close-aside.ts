import { Attr } from '../sys/attr.ts';
import { close, fstat } from '../sys/file.ts';
import { type Union } from './union.ts';

/** Bytes of a file that the kernel takes milliseconds to free, with what of it is in memory: 1 GiB took 54 to 134 ms. */
const LARGE = 64 << 20;

const attr = new Attr();

/** Closes the descriptor that has held a file without a name: it goes now, and a large one keeps nobody waiting. */
export function closeUnlinked({ slowLane }: Union, fd: number): void {
  const isLarge = slowLane !== undefined && fstat(fd, attr) === 0 && attr.size >= LARGE;
  if (!isLarge || !slowLane.close(fd)) close(fd);
}
