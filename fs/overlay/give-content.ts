import { type Inode } from './inode.ts';
import { COUNTER } from './options.ts';
import { type Union } from './union.ts';

/** Bytes that cost less to hand over unasked than it costs to be asked for them. */
const LARGEST = 32 << 10;

export function isSmall(size: number): boolean {
  return size > 0 && size <= LARGEST;
}

/**
 * Gives the kernel the content of a small file of a lower layer before the answer to its first open, after which nearly all
 * read it: of the four requests that a file takes to be read (OPEN, READ, GETATTR, as a READ changes the atime, and RELEASE)
 * two are left. What is not in memory is left to READ, as the open need not wait for the disk.
 */
export function giveContent(union: Union, inode: Inode, fd: number): void {
  // Who has it open may wait for an answer to READ, with the pages locked that the kernel would wait for.
  if (!inode.contentDue || !union.storesContent || inode.handles !== undefined) return;
  // Not every filesystem tells what is in memory.
  if (union.slowReads.expected) return;
  inode.contentDue = false;
  const given = union.notifier?.storeContent(inode.id, fd, LARGEST);
  if (given === 0) union.count(COUNTER.contentsGiven);
}
