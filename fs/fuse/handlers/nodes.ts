import { CHANGE, NO_HANDLE } from '../../filesystem.ts';
import { UTIME_NOW, UTIME_OMIT } from '../../sys/constants.ts';
import { ENOENT } from '../../sys/errno.ts';
import { putAttr, putEntry } from '../attributes.ts';
import { BODY, PAYLOAD, type Slot } from '../slot.ts';
import { FATTR, GETATTR_FH } from '../constants.ts';
import { ABI } from '../structs.ts';
import { NO_REPLY } from './handler.ts';

const {
  fuse_entry_out: ENTRY_OUT,
  fuse_attr_out: ATTR_OUT,
  fuse_getattr_in: GETATTR_IN,
  fuse_setattr_in: SETATTR_IN,
  fuse_statx_in: STATX_IN,
  fuse_statx_out: STATX_OUT,
  fuse_statx: FUSE_STATX,
  fuse_forget_in: FORGET_IN,
  fuse_forget_one: FORGET_ONE,
  fuse_batch_forget_in: BATCH_FORGET_IN,
  fuse_kstatfs: KSTATFS,
  fuse_statfs_out: STATFS_OUT,
} = ABI;

/** Replies with `slot.entry` where `status` is not an error. */
export function replyEntry(slot: Slot, status: number): number {
  if (status < 0) return status;
  putEntry(slot.out, PAYLOAD, slot.entry, slot.connection);
  return ENTRY_OUT.sizeof;
}

export function lookup(slot: Slot): number {
  const { entry, connection } = slot;
  entry.node = 0;
  const status = connection.fs.lookup(slot.node, slot.name(0), entry);
  if (status < 0) return status;
  if (entry.node !== 0) return replyEntry(slot, 0);
  // Node 0 with a lifetime is a negative entry; without one the errno says the same and nothing is remembered.
  if (connection.validSeconds === 0 && connection.validNanoseconds === 0) return -ENOENT;
  slot.clear(0, ENTRY_OUT.sizeof);
  slot.setU32(ENTRY_OUT.entry_valid, connection.validSeconds);
  slot.setU32(ENTRY_OUT.entry_valid_nsec, connection.validNanoseconds);
  return ENTRY_OUT.sizeof;
}

export function forget(slot: Slot): number {
  slot.connection.fs.forget(slot.node, slot.u64(FORGET_IN.nlookup));
  return NO_REPLY;
}

export function batchForget(slot: Slot): number {
  const count = slot.u32(BATCH_FORGET_IN.count);
  const room = Math.floor((slot.length - BODY - BATCH_FORGET_IN.sizeof) / FORGET_ONE.sizeof);
  for (let index = 0; index < count && index < room; index += 1) {
    const at = BATCH_FORGET_IN.sizeof + index * FORGET_ONE.sizeof;
    slot.connection.fs.forget(slot.u64(at + FORGET_ONE.nodeid), slot.u64(at + FORGET_ONE.nlookup));
  }
  return NO_REPLY;
}

/** For how long the kernel may keep the attributes of the request's node. */
function putValidity(slot: Slot, seconds: number, nanoseconds: number): void {
  const { fs, validSeconds, validNanoseconds } = slot.connection;
  const last = fs.attributesLast(slot.node);
  slot.setU64(seconds, last ? validSeconds : 0);
  slot.setU32(nanoseconds, last ? validNanoseconds : 0);
}

function replyAttr(slot: Slot, status: number): number {
  if (status < 0) return status;
  putValidity(slot, ATTR_OUT.attr_valid, ATTR_OUT.attr_valid_nsec);
  slot.setU32(ATTR_OUT.dummy, 0);
  putAttr(slot.out, PAYLOAD + ATTR_OUT.attr, slot.entry.attr);
  return ATTR_OUT.sizeof;
}

export function getattr(slot: Slot): number {
  const hasHandle = !slot.connection.skipsOpen && (slot.u32(GETATTR_IN.getattr_flags) & GETATTR_FH) !== 0;
  const handle = hasHandle ? slot.u64(GETATTR_IN.fh) : NO_HANDLE;
  return replyAttr(slot, slot.connection.fs.getattr(slot.node, handle, slot.entry.attr));
}

/** statx(2) with what GETATTR cannot say: the birth time. */
export function statx(slot: Slot): number {
  const hasHandle = !slot.connection.skipsOpen && (slot.u32(STATX_IN.getattr_flags) & GETATTR_FH) !== 0;
  const handle = hasHandle ? slot.u64(STATX_IN.fh) : NO_HANDLE;
  const { attr } = slot.entry;
  const status = slot.connection.fs.getattr(slot.node, handle, attr);
  if (status < 0) return status;
  slot.clear(0, STATX_OUT.sizeof);
  putValidity(slot, STATX_OUT.attr_valid, STATX_OUT.attr_valid_nsec);
  // fuse_statx is bit for bit the kernel's struct statx up to the device numbers. The attributes (compressed, immutable
  // and so on) are the backing file's and not ours to promise.
  for (let at = 0; at < FUSE_STATX.__spare2; at += 4) {
    if (at >= FUSE_STATX.attributes && at < FUSE_STATX.nlink) continue;
    if (at >= FUSE_STATX.attributes_mask && at < FUSE_STATX.atime) continue;
    slot.setU32(STATX_OUT.stat + at, attr.view.getUint32(at, true));
  }
  return STATX_OUT.sizeof;
}

function readTimes(slot: Slot, valid: number): void {
  const { times } = slot.change;
  const atime = SETATTR_IN.atime;
  const mtime = SETATTR_IN.mtime;
  if ((valid & FATTR.ATIME_NOW) !== 0) times.setAtime(0, 0, UTIME_NOW);
  else if ((valid & FATTR.ATIME) === 0) times.setAtime(0, 0, UTIME_OMIT);
  else times.setAtime(slot.u32(atime), slot.u32(atime + 4), slot.u32(SETATTR_IN.atimensec));
  if ((valid & FATTR.MTIME_NOW) !== 0) times.setMtime(0, 0, UTIME_NOW);
  else if ((valid & FATTR.MTIME) === 0) times.setMtime(0, 0, UTIME_OMIT);
  else times.setMtime(slot.u32(mtime), slot.u32(mtime + 4), slot.u32(SETATTR_IN.mtimensec));
}

function changesOf(valid: number): number {
  let changes = 0;
  if ((valid & FATTR.MODE) !== 0) changes |= CHANGE.mode;
  if ((valid & FATTR.UID) !== 0) changes |= CHANGE.uid;
  if ((valid & FATTR.GID) !== 0) changes |= CHANGE.gid;
  if ((valid & FATTR.SIZE) !== 0) changes |= CHANGE.size;
  if ((valid & (FATTR.ATIME | FATTR.MTIME | FATTR.ATIME_NOW | FATTR.MTIME_NOW)) !== 0) changes |= CHANGE.times;
  // The kernel takes setuid and setgid out of what it would set, as clearing them is ours to do (fuse_setattr under
  // HANDLE_KILLPRIV_V2). Before a write that it does itself (passthrough), nothing else says so.
  if ((valid & FATTR.KILL_SUIDGID) !== 0 || changes === 0) changes |= CHANGE.killPrivileges;
  return changes;
}

export function setattr(slot: Slot): number {
  const { caller, change, entry, connection } = slot;
  const valid = slot.u32(SETATTR_IN.valid);
  const handle = (valid & FATTR.FH) !== 0 && !connection.skipsOpen ? slot.u64(SETATTR_IN.fh) : NO_HANDLE;
  change.valid = changesOf(valid);
  change.mode = slot.u32(SETATTR_IN.mode);
  change.uid = slot.u32(SETATTR_IN.uid);
  change.gid = slot.u32(SETATTR_IN.gid);
  change.size = slot.fileOffset(SETATTR_IN.size);
  readTimes(slot, valid);
  return replyAttr(slot, connection.fs.setattr(caller, slot.node, handle, change, entry.attr));
}

// A link's target fits a page with its NUL, and the kernel leaves room for no more.
const READLINK_SIZE = 4095;

export function readlink(slot: Slot): number {
  return slot.connection.fs.readlink(slot.node, slot.payloadAddress, READLINK_SIZE);
}

// `struct statfs` of the C library: words of 8 bytes on the 64-bit platforms.
const STATFS = { bsize: 8, blocks: 16, bfree: 24, bavail: 32, files: 40, ffree: 48, namelen: 64, frsize: 72 };

export function statfs(slot: Slot): number {
  const status = slot.connection.fs.statfs(slot.node, slot.statfs);
  if (status < 0) return status;
  slot.clear(0, STATFS_OUT.sizeof);
  const from = slot.statfs.view;
  for (let word = 0; word < 40; word += 4)
    slot.setU32(KSTATFS.blocks + word, from.getUint32(STATFS.blocks + word, true));
  slot.setU32(KSTATFS.bsize, from.getUint32(STATFS.bsize, true));
  slot.setU32(KSTATFS.namelen, from.getUint32(STATFS.namelen, true));
  slot.setU32(KSTATFS.frsize, from.getUint32(STATFS.frsize, true));
  return STATFS_OUT.sizeof;
}
