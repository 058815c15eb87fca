import { type FileOffset } from '../sys/file-offset.ts';

// How much of a file a copy-up is to copy: so many bytes of the data (of a file that is about to be truncated), or one of
// these.

/** All of it. */
export const ALL = -1;
/** Nothing but metadata is about to change: the data may stay below, where metacopies are made. */
export const METADATA = -2;

/** Bytes to copy of a file. */
export function copyLength(limit: FileOffset, size: FileOffset): FileOffset {
  return limit < 0 || limit > size ? size : limit;
}
