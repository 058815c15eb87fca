import { EPROTO } from '../sys/errno.ts';
import { type Connection, setTimeoutOf } from './connection.ts';
import {
  INIT,
  INIT2,
  KERNEL_MINOR_VERSION,
  KERNEL_VERSION,
  MINIMUM_MINOR_VERSION,
  STORE_MINOR_VERSION,
} from './constants.ts';
import { BODY, MAX_WRITE, type Slot } from './slot.ts';
import { ABI } from './structs.ts';

const { fuse_init_in: IN, fuse_init_out: OUT } = ABI;

// What is taken where the kernel offers it. Not taken, and why:
// - POSIX_LOCKS, FLOCK_LOCKS: without them the kernel keeps locks itself, for all users of the mount.
// - AUTO_INVAL_DATA: the mount is the only writer; EXPLICIT_INVAL_DATA leaves the page cache alone.
// - HANDLE_KILLPRIV (the first): it does not tell whether the writer may keep setuid. Without it and without the second,
//   the kernel clears the bits itself by SETATTR.
// - ASYNC_DIO: after an asynchronous direct write, the kernel leaves in its page cache what readers have put there
//   meanwhile (fuse_aio_complete does not invalidate it); one request is served after the other, anyway.
// - READDIRPLUS_AUTO: it has the kernel ask for the attributes of a directory's first names alone, and then for those of
//   all others one by one.
// - WRITEBACK_CACHE: what is written must be in the upper when umount returns, and be counted against its space.
// - SECURITY_CTX, CREATE_SUPP_GROUP: nothing is done with these extensions of a request.
const WANTED =
  INIT.ASYNC_READ |
  INIT.ATOMIC_O_TRUNC |
  INIT.BIG_WRITES |
  INIT.DONT_MASK |
  INIT.HAS_IOCTL_DIR |
  INIT.DO_READDIRPLUS |
  INIT.PARALLEL_DIROPS |
  INIT.ABORT_ERROR |
  INIT.MAX_PAGES |
  INIT.CACHE_SYMLINKS |
  INIT.EXPLICIT_INVAL_DATA |
  INIT.HANDLE_KILLPRIV_V2 |
  INIT.SETXATTR_EXT |
  INIT.INIT_EXT;
const WANTED2 = INIT2.DIRECT_IO_ALLOW_MMAP;

/** Passthrough goes to filesystems that are not stacked themselves; what is stacked on this one may be that no more. */
const STACK_DEPTH = 1;

// Requests that the kernel may have under way by itself (readahead), and from which number on it waits.
const MAX_BACKGROUND = 64;
const CONGESTION_THRESHOLD = 48;

/** Settles what both sides can do. */
export function init(slot: Slot): number {
  const { connection } = slot;
  const major = slot.u32(IN.major);
  slot.clear(0, OUT.sizeof);
  slot.setU32(OUT.major, KERNEL_VERSION);
  slot.setU32(OUT.minor, KERNEL_MINOR_VERSION);
  // A newer major asks again with ours; an older one cannot be spoken with.
  if (major > KERNEL_VERSION) return OUT.sizeof;
  connection.minor = slot.u32(IN.minor);
  if (major < KERNEL_VERSION || connection.minor < MINIMUM_MINOR_VERSION) return -EPROTO;
  putFeatures(slot);
  setTimeoutOf(connection, connection.fs.timeout);
  if (!connection.started)
    connection.fs.start(connection.notifier, connection.passthrough, connection.minor >= STORE_MINOR_VERSION);
  connection.started = true;
  return OUT.sizeof;
}

function putFeatures(slot: Slot): void {
  const { connection } = slot;
  const offered = slot.u32(IN.flags);
  const wanted =
    WANTED | (connection.fs.acl ? INIT.POSIX_ACL : 0) | (connection.fs.exportable ? INIT.EXPORT_SUPPORT : 0);
  // Before 7.36 the structure ends behind `flags`.
  const hasFlags2 = (offered & INIT.INIT_EXT) !== 0 && slot.length >= BODY + IN.unused;
  const offered2 = hasFlags2 ? slot.u32(IN.flags2) : 0;
  settleOpens(connection, offered, offered2);
  // Without OPEN, who truncates by it is sent SETATTR.
  const flags = offered & (connection.skipsOpen ? wanted & ~INIT.ATOMIC_O_TRUNC : wanted);
  // Else file handles would be given out that work for as long as the kernel remembers the file.
  const wanted2 = connection.fs.exportable ? WANTED2 : WANTED2 | INIT2.NO_EXPORT_SUPPORT;
  connection.setxattrExt = (flags & INIT.SETXATTR_EXT) !== 0;
  const passthrough = connection.passthrough === undefined ? 0 : INIT2.PASSTHROUGH;
  slot.setU32(OUT.max_readahead, slot.u32(IN.max_readahead));
  slot.setU32(OUT.flags, flags);
  slot.setU32(OUT.flags2, (offered2 & wanted2) | passthrough);
  slot.setU32(OUT.max_stack_depth, passthrough === 0 ? 0 : STACK_DEPTH);
  slot.setU32(OUT.max_background, (CONGESTION_THRESHOLD << 16) | MAX_BACKGROUND);
  slot.setU32(OUT.max_write, MAX_WRITE);
  slot.setU32(OUT.time_gran, 1);
  slot.setU32(OUT.max_pages, (flags & INIT.MAX_PAGES) === 0 ? 0 : Math.floor(MAX_WRITE / connection.pageSize));
}

/** Which files and directories the kernel opens without asking, and whether it passes files through, which OPEN begins. */
function settleOpens(connection: Connection, offered: number, offered2: number): void {
  const { fs, noOpen } = connection;
  if ((offered2 & INIT2.PASSTHROUGH) === 0) connection.passthrough = undefined;
  const isWanted = noOpen === 'on' || (noOpen === 'auto' && connection.passthrough === undefined);
  connection.skipsOpendir = (offered & INIT.NO_OPENDIR_SUPPORT) !== 0 && !fs.opensDirectories;
  connection.skipsOpen = isWanted && (offered & INIT.NO_OPEN_SUPPORT) !== 0 && !fs.opensFiles;
  if (connection.skipsOpen) connection.passthrough = undefined;
}
