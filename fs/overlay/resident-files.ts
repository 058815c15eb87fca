import { ALL } from './copy-limit.ts';
import { O_APPEND, O_DIRECT, O_NONBLOCK, O_RDONLY, O_WRONLY, S_IFREG } from '../sys/constants.ts';
import { EBADF, EMFILE, ENFILE, EPERM, EROFS, ESTALE } from '../sys/errno.ts';
import { isAsIndexed } from './indexed-layer.ts';
import { type Inode } from './inode.ts';
import { openData } from './metacopy.ts';
import { type OpenFile } from './open-file.ts';
import { refuseWrite } from './protection.ts';
import { raiseForWriting } from './raise.ts';
import { ResidentFile } from './resident-file.ts';
import { type Union } from './union.ts';

// Where the kernel opens files without asking (no_open), requests name an inode and nothing else, and of a lower file all
// who read it can do with one descriptor. The first to read or write it opens it here, and later ones find it open.

/**
 * The file to read an inode's data from, open; or a negative errno.
 *
 * @param direct the request is to go around the page cache (O_DIRECT).
 * @param keep another file that is in use.
 */
export function readerOf(union: Union, inode: Inode, direct: boolean, keep?: OpenFile): ResidentFile | number {
  const known = usable(union, inode.reader, direct);
  if (known?.isAhead === false) return known;
  if (inode.type !== S_IFREG) return -EBADF;
  const reader = known ?? addReader(union, inode, direct, keep);
  if (typeof reader !== 'number') begin(union, reader, keep);
  // The layer was changed: its attributes were told from an index that is old.
  if (typeof reader !== 'number' && !isAsIndexed(inode, reader.fd)) union.attributesChanged(inode);
  return reader;
}

/** The same where the kernel asks to open it; ESTALE: nothing was done, and it is to look the name up again. */
export function openReader(union: Union, inode: Inode): ResidentFile | number {
  const known = usable(union, inode.reader, false);
  if (known?.isAhead === false) return known;
  const reader = known ?? addReader(union, inode, false);
  if (typeof reader !== 'number') begin(union, reader);
  if (typeof reader === 'number' || isAsIndexed(inode, reader.fd)) return reader;
  union.residents.close(reader);
  union.attributesChanged(inode);
  return -ESTALE;
}

/** Its first reader is there. */
function begin(union: Union, reader: ResidentFile, keep?: OpenFile): void {
  reader.isAhead = false;
  // Of two files that are in use at once, the other one must stay open.
  if (keep === undefined) union.readAhead.opened(union, reader.inode);
}

function addReader(union: Union, inode: Inode, direct: boolean, keep?: OpenFile): ResidentFile | number {
  const flags = O_RDONLY | (direct ? O_DIRECT : 0);
  const fd = openBounded(union, inode, flags, keep);
  if (fd < 0) return fd;
  const reader = new ResidentFile(inode, fd, flags);
  inode.reader = reader;
  union.residents.add(reader, keep);
  return reader;
}

/**
 * The file to write an inode's data to, open; copied up first. Or a negative errno, or DEFERRED.
 *
 * @param appends the caller writes at the end alone (O_APPEND).
 */
export function writerOf(union: Union, inode: Inode, direct: boolean, appends: boolean): ResidentFile | number {
  const known = usable(union, inode.writer, direct);
  if (known !== undefined) return known;
  if (inode.type !== S_IFREG) return -EBADF;
  if (union.upper === undefined) return -EROFS;
  const refused = refuseWrite(union, inode, appends);
  if (refused < 0) return refused;
  const raised = raiseForWriting(union, inode, ALL);
  if (raised < 0) return raised;
  return openWriter(union, inode, direct, appends);
}

function openWriter(union: Union, inode: Inode, direct: boolean, appends: boolean): ResidentFile | number {
  let flags = O_WRONLY | (direct ? O_DIRECT : 0);
  let fd = openBounded(union, inode, flags);
  if (fd === -EPERM && appends) {
    // Append-only in the upper's own filesystem, not by our mark.
    flags |= O_APPEND;
    fd = openBounded(union, inode, flags);
  }
  if (fd < 0) return fd;
  const writer = new ResidentFile(inode, fd, flags);
  inode.writer = writer;
  union.residents.add(writer);
  return writer;
}

function usable(union: Union, file: ResidentFile | undefined, direct: boolean): ResidentFile | undefined {
  if (file === undefined) return undefined;
  if (file.suits(direct)) {
    file.used = true;
    return file;
  }
  union.residents.close(file);
  return undefined;
}

function openBounded(union: Union, inode: Inode, flags: number, keep?: OpenFile): number {
  const fd = openData(union, inode, flags | O_NONBLOCK);
  if (fd !== -EMFILE && fd !== -ENFILE) return fd;
  union.fds.clear();
  union.residents.clear(keep);
  return openData(union, inode, flags | O_NONBLOCK);
}
