import { type FileOffset } from '../sys/file-offset.ts';
import { ensureUpper } from './copy-up.ts';
import { type Inode } from './inode.ts';
import { ensureData } from './metacopy.ts';
import { type Union } from './union.ts';

/** Has a file and so much of its data in the upper, and the kernel ask for the attributes that this changed. */
export function raiseForWriting(union: Union, inode: Inode, limit: FileOffset): number {
  const { isUpper } = inode;
  const raised = ensureUpper(union, inode, limit) || ensureData(union, inode, limit);
  if (raised === 0 && !isUpper) union.attributesChanged(inode);
  return raised;
}
