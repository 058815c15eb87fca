import { type Inode } from './inode.ts';

/** A descriptor through which a file's data is read and written: a handle that the kernel has, or a resident file. */
export interface OpenFile {
  readonly inode: Inode;
  readonly fd: number;
  /** open(2) flags of the descriptor: how it is accessed, O_DIRECT and O_APPEND. */
  readonly flags: number;
  /** Job of the slow lane that reaches the disk for it, or -1. */
  syncJob: number;
}
