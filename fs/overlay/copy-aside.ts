import { type Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { close, unlinkat } from '../sys/file.ts';
import { copyContents } from './copy-data.ts';
import { openCopy } from './make-real.ts';
import { copyFlags } from './protection.ts';
import { type Settle, beginSettling } from './settle.ts';
import { type Union } from './union.ts';

/**
 * Copies a file's data into the workdir and has the disk begin to write it; answers the copy's descriptor, or a negative
 * errno.
 *
 * @param workdir descriptor.
 * @param attr of the file that `from` is open for.
 */
export function copyAside(
  union: Pick<Union, 'upper'>,
  workdir: number,
  temporary: ByteString,
  from: number,
  attr: Attr,
  how: Settle,
): number {
  const to = openCopy(union, workdir, temporary, attr.mode);
  if (to < 0) return to;
  copyFlags(from, to);
  const copied = copyContents(from, to, attr.size, attr.blocks, how);
  if (copied < 0) {
    close(to);
    unlinkat(workdir, temporary);
    return copied;
  }
  beginSettling(to, how);
  return to;
}
