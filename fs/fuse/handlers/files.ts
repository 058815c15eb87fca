import { CHANGE, NO_HANDLE, WRITE } from '../../filesystem.ts';
import { O_APPEND, O_CREAT, O_DIRECT, O_EXCL, O_TRUNC } from '../../sys/constants.ts';
import { EINVAL, ENOSYS } from '../../sys/errno.ts';
import type { FileOffset } from '../../sys/file-offset.ts';
import { putEntry } from '../attributes.ts';
import type { InboundPipe } from '../inbound-pipe.ts';
import { BODY, PAYLOAD, type Slot } from '../slot.ts';
import { FOPEN, FSYNC_FDATASYNC, IOCTL_DIR, OPEN_KILL_SUIDGID, WRITE_CACHE, WRITE_KILL_SUIDGID } from '../constants.ts';
import { ABI } from '../structs.ts';
import { NO_REPLY } from './handler.ts';

const {
  fuse_entry_out: ENTRY_OUT,
  fuse_open_in: OPEN_IN,
  fuse_open_out: OPEN_OUT,
  fuse_create_in: CREATE_IN,
  fuse_read_in: READ_IN,
  fuse_write_in: WRITE_IN,
  fuse_write_out: WRITE_OUT,
  fuse_release_in: RELEASE_IN,
  fuse_fsync_in: FSYNC_IN,
  fuse_fallocate_in: FALLOCATE_IN,
  fuse_lseek_in: LSEEK_IN,
  fuse_lseek_out: LSEEK_OUT,
  fuse_copy_file_range_in: COPY_IN,
  fuse_copy_file_range_out: COPY_OUT,
  fuse_ioctl_in: IOCTL_IN,
  fuse_ioctl_out: IOCTL_OUT,
} = ABI;

function putOpened(slot: Slot, offset: number): void {
  const { opened } = slot;
  // No FLUSH on close (Linux 5.16; before it, until one was answered ENOSYS). Beside the round trip, one case would wait
  // for ever: a process that serves its own mount ends with a file of it open, and nobody is left to answer.
  let flags: number = FOPEN.NOFLUSH;
  if (opened.keepCache) flags |= FOPEN.KEEP_CACHE;
  if (opened.directIo) flags |= FOPEN.DIRECT_IO;
  if (opened.backing > 0) flags |= FOPEN.PASSTHROUGH;
  slot.setU64(offset + OPEN_OUT.fh, opened.handle);
  slot.setU32(offset + OPEN_OUT.open_flags, flags);
  slot.setU32(offset + OPEN_OUT.backing_id, opened.backing);
}

/** The open file that a request names at `offset`; NO_HANDLE where the kernel opens files without asking. */
function handleAt(slot: Slot, offset: number): number {
  return slot.connection.skipsOpen ? NO_HANDLE : slot.u64(offset);
}

export function open(slot: Slot): number {
  const { opened, connection, node } = slot;
  // The kernel takes it for success, keeps the page cache over opens, and sends neither OPEN nor RELEASE again.
  if (connection.skipsOpen) return -ENOSYS;
  const flags = slot.u32(OPEN_IN.flags) & ~(O_CREAT | O_EXCL);
  const status = connection.fs.open(node, flags, opened);
  if (status < 0) return status;
  // Truncation by the open (ATOMIC_O_TRUNC) clears setuid and setgid as any truncation; `open` itself does not say so.
  if ((flags & O_TRUNC) !== 0 && (slot.u32(OPEN_IN.open_flags) & OPEN_KILL_SUIDGID) !== 0) {
    const truncated = truncateWithPrivileges(slot);
    if (truncated < 0) return abandon(slot, truncated);
  }
  putOpened(slot, 0);
  return OPEN_OUT.sizeof;
}

function truncateWithPrivileges(slot: Slot): number {
  slot.change.valid = CHANGE.size | CHANGE.killPrivileges;
  slot.change.size = 0;
  return slot.connection.fs.setattr(slot.caller, slot.node, slot.opened.handle, slot.change, slot.entry.attr);
}

/** Closes what was opened, since the open fails after all. */
function abandon(slot: Slot, status: number): number {
  slot.connection.fs.release(slot.node, slot.opened.handle);
  return status;
}

function replyCreated(slot: Slot, status: number): number {
  if (status < 0) return status;
  putEntry(slot.out, PAYLOAD, slot.entry, slot.connection);
  putOpened(slot, ENTRY_OUT.sizeof);
  return ENTRY_OUT.sizeof + OPEN_OUT.sizeof;
}

export function create(slot: Slot): number {
  const { caller, entry, opened, connection } = slot;
  // The kernel sends MKNOD in its place from now on.
  if (connection.skipsOpen) return -ENOSYS;
  caller.umask = slot.u32(CREATE_IN.umask);
  const flags = slot.u32(CREATE_IN.flags) & ~(O_CREAT | O_EXCL);
  const mode = slot.u32(CREATE_IN.mode);
  const name = slot.name(CREATE_IN.sizeof);
  return replyCreated(slot, connection.fs.create(caller, slot.node, name, mode, flags, entry, opened));
}

/** The kernel sends a name too, which it made up for its dentry. */
export function tmpfile(slot: Slot): number {
  const { caller, entry, opened, connection } = slot;
  caller.umask = slot.u32(CREATE_IN.umask);
  const flags = slot.u32(CREATE_IN.flags) & ~(O_CREAT | O_EXCL);
  const mode = slot.u32(CREATE_IN.mode);
  const status = connection.fs.tmpfile(caller, slot.node, mode, flags, entry, opened);
  if (connection.skipsOpen && status >= 0) connection.fs.release(entry.node, opened.handle);
  return replyCreated(slot, status);
}

export function read(slot: Slot): number {
  const size = slot.u32(READ_IN.size);
  // A shorter answer would mean the end of the file; the mount's max_read keeps the kernel within the buffer.
  if (size > slot.payloadCapacity) return -EINVAL;
  const { fs } = slot.connection;
  if (fs.expectsSlowReads) {
    const awaited = fs.awaitData(slot.node, handleAt(slot, READ_IN.fh), slot.fileOffset(READ_IN.offset), size);
    return awaited < 0 ? awaited : readNow(slot, size);
  }
  const begin = performance.now();
  const outcome = readNow(slot, size);
  fs.readTook(performance.now() - begin);
  return outcome;
}

function readNow(slot: Slot, size: number): number {
  slot.alignPayload();
  const offset = slot.fileOffset(READ_IN.offset);
  const buffered = (slot.u32(READ_IN.flags) & O_DIRECT) === 0;
  const { fs, splicer } = slot.connection;
  const handle = handleAt(slot, READ_IN.fh);
  if (splicer?.takes(size) === true) {
    const file = fs.fileToRead(slot.node, handle, buffered);
    const length = file < 0 ? file : splicer.reply(slot, file, offset, size);
    if (length === size) return NO_REPLY;
    if (length >= 0) return length;
  }
  return fs.read(slot.node, handle, offset, size, slot.payloadAddress, buffered);
}

export function write(slot: Slot): number {
  const size = slot.u32(WRITE_IN.size);
  if (size > slot.length - BODY - WRITE_IN.sizeof) return -EINVAL;
  const { fs, inbound } = slot.connection;
  const handle = handleAt(slot, WRITE_IN.fh);
  const offset = slot.fileOffset(WRITE_IN.offset);
  const flags = writeFlags(slot.u32(WRITE_IN.write_flags), slot.u32(WRITE_IN.flags));
  if (inbound?.left === size) {
    const spliced = spliceWrite(slot, inbound, handle, offset, flags);
    if (spliced > 0) return replyCount(slot, spliced);
    inbound.load();
  }
  const data = slot.bodyAddress(WRITE_IN.sizeof);
  return replyCount(slot, fs.write(slot.node, handle, offset, size, data, flags));
}

/** Answers the bytes written, or what says that nothing was done: the request is then to go the other way. */
function spliceWrite(slot: Slot, inbound: InboundPipe, handle: number, offset: FileOffset, flags: number): number {
  const { fs } = slot.connection;
  const file = fs.fileToWrite(slot.node, handle, flags);
  const written = file < 0 ? file : inbound.writeTo(file, offset);
  if (written > 0) fs.written(slot.node, flags);
  return written;
}

/** @param status the open file's flags as they are by now. */
function writeFlags(flags: number, status: number): number {
  return (
    ((flags & WRITE_KILL_SUIDGID) === 0 ? 0 : WRITE.killPrivileges) |
    ((flags & WRITE_CACHE) === 0 && (status & O_DIRECT) !== 0 ? 0 : WRITE.buffered) |
    ((status & O_APPEND) === 0 ? 0 : WRITE.appends)
  );
}

function replyCount(slot: Slot, count: number): number {
  if (count < 0) return count;
  slot.setU32(WRITE_OUT.size, count);
  slot.setU32(WRITE_OUT.padding, 0);
  return WRITE_OUT.sizeof;
}

export function release(slot: Slot): number {
  if (!slot.connection.skipsOpen) slot.connection.fs.release(slot.node, slot.u64(RELEASE_IN.fh));
  return 0;
}

export function fsync(slot: Slot): number {
  const dataOnly = (slot.u32(FSYNC_IN.fsync_flags) & FSYNC_FDATASYNC) !== 0;
  return slot.connection.fs.fsync(slot.node, handleAt(slot, FSYNC_IN.fh), dataOnly);
}

export function fallocate(slot: Slot): number {
  const handle = handleAt(slot, FALLOCATE_IN.fh);
  const offset = slot.fileOffset(FALLOCATE_IN.offset);
  const length = slot.fileOffset(FALLOCATE_IN.length);
  const done = slot.connection.fs.fallocate(slot.node, handle, slot.u32(FALLOCATE_IN.mode), offset, length);
  return modified(slot, slot.node, handle, done);
}

/**
 * A file's content was changed by a request that does not say whether the caller may keep setuid, setgid and file
 * capabilities: only root may.
 */
function modified(slot: Slot, node: number, handle: number, done: number): number {
  if (done < 0 || slot.caller.uid === 0) return done;
  slot.change.valid = CHANGE.killPrivileges;
  const cleared = slot.connection.fs.setattr(slot.caller, node, handle, slot.change, slot.entry.attr);
  return cleared < 0 ? cleared : done;
}

export function lseek(slot: Slot): number {
  const from = slot.fileOffset(LSEEK_IN.offset);
  const found = slot.connection.fs.lseek(slot.node, handleAt(slot, LSEEK_IN.fh), from, slot.u32(LSEEK_IN.whence));
  if (found < 0) return Number(found);
  slot.setFileOffset(LSEEK_OUT.offset, found);
  return LSEEK_OUT.sizeof;
}

// Callers go on after a short copy, and other requests come in between. A reply of 32 bits holds it in any case.
const LONGEST_COPY = 64 << 20;

function copy(slot: Slot): number {
  if (slot.u64(COPY_IN.flags) !== 0) return -EINVAL;
  const node = slot.u64(COPY_IN.nodeid_out);
  const handle = handleAt(slot, COPY_IN.fh_out);
  const from = slot.fileOffset(COPY_IN.off_in);
  const to = slot.fileOffset(COPY_IN.off_out);
  const length = Math.min(slot.u64(COPY_IN.len), LONGEST_COPY);
  const { fs } = slot.connection;
  const copied = fs.copyFileRange(slot.node, handleAt(slot, COPY_IN.fh_in), from, node, handle, to, length);
  return modified(slot, node, handle, copied);
}

export function copyFileRange(slot: Slot): number {
  return replyCount(slot, copy(slot));
}

/** The same request as COPY_FILE_RANGE with 64 bits for the answer. */
export function copyFileRange64(slot: Slot): number {
  const count = copy(slot);
  if (count < 0) return count;
  slot.setU64(COPY_OUT.bytes_copied, count);
  return COPY_OUT.sizeof;
}

export function ioctl(slot: Slot): number {
  const input = slot.u32(IOCTL_IN.in_size);
  const output = slot.u32(IOCTL_IN.out_size);
  const room = slot.payloadCapacity - IOCTL_OUT.sizeof;
  if (input > slot.length - BODY - IOCTL_IN.sizeof || input > room || output > room) return -EINVAL;
  // A directory's handle came from opendir; the filesystem knows it by its node.
  const isDirectory = (slot.u32(IOCTL_IN.flags) & IOCTL_DIR) !== 0;
  const handle = isDirectory ? NO_HANDLE : handleAt(slot, IOCTL_IN.fh);
  slot.clear(0, IOCTL_OUT.sizeof + Math.max(input, output));
  slot.copyBody(IOCTL_IN.sizeof, input, IOCTL_OUT.sizeof);
  const address = slot.payloadAddress + IOCTL_OUT.sizeof;
  const result = slot.connection.fs.ioctl(slot.node, handle, slot.u32(IOCTL_IN.cmd), address, input, output);
  if (result < 0) return result;
  slot.setU32(IOCTL_OUT.result, result);
  return IOCTL_OUT.sizeof + output;
}

/** Sent for syncfs(2) and sync(2). */
export function syncfs(slot: Slot): number {
  return slot.connection.fs.syncfs(slot.node);
}
