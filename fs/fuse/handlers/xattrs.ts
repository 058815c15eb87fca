import { CHANGE, NO_HANDLE } from '../../filesystem.ts';
import { S_ISGID } from '../../sys/constants.ts';
import { EINVAL } from '../../sys/errno.ts';
import { SETXATTR_ACL_KILL_SGID } from '../constants.ts';
import { BODY, type Slot } from '../slot.ts';
import { ABI } from '../structs.ts';

const { fuse_setxattr_in: SETXATTR_IN, fuse_getxattr_in: GETXATTR_IN, fuse_getxattr_out: GETXATTR_OUT } = ABI;

// Without FUSE_SETXATTR_EXT (Linux before 5.14) the structure ends behind `flags`.
const SHORT_SETXATTR_IN = SETXATTR_IN.setxattr_flags;

/** What was asked for is either the length of a value or list, or itself. */
function replyValue(slot: Slot, size: number, length: number): number {
  if (length < 0 || size > 0) return length;
  slot.setU32(GETXATTR_OUT.size, length);
  slot.setU32(GETXATTR_OUT.padding, 0);
  return GETXATTR_OUT.sizeof;
}

export function getxattr(slot: Slot): number {
  const size = Math.min(slot.u32(GETXATTR_IN.size), slot.payloadCapacity);
  const name = slot.name(GETXATTR_IN.sizeof);
  return replyValue(slot, size, slot.connection.fs.getxattr(slot.node, name, slot.payloadAddress, size));
}

export function listxattr(slot: Slot): number {
  const size = Math.min(slot.u32(GETXATTR_IN.size), slot.payloadCapacity);
  const trusted = slot.caller.uid === 0;
  return replyValue(slot, size, slot.connection.fs.listxattr(slot.node, slot.payloadAddress, size, trusted));
}

export function setxattr(slot: Slot): number {
  const { fs, setxattrExt } = slot.connection;
  const start = setxattrExt ? SETXATTR_IN.sizeof : SHORT_SETXATTR_IN;
  const size = slot.u32(SETXATTR_IN.size);
  const end = slot.endOfName(start);
  if (size > slot.length - BODY - (end + 1)) return -EINVAL;
  const name = slot.text(start, end);
  const status = fs.setxattr(slot.node, name, slot.bodyAddress(end + 1), size, slot.u32(SETXATTR_IN.flags));
  const killSetgid = setxattrExt && (slot.u32(SETXATTR_IN.setxattr_flags) & SETXATTR_ACL_KILL_SGID) !== 0;
  return status === 0 && killSetgid ? clearSetgid(slot) : status;
}

/** An access ACL set by someone outside the file's group clears setgid. */
function clearSetgid(slot: Slot): number {
  const { connection, entry, change, caller, node } = slot;
  const status = connection.fs.getattr(node, NO_HANDLE, entry.attr);
  if (status < 0 || (entry.attr.mode & S_ISGID) === 0) return status;
  change.valid = CHANGE.mode;
  change.mode = entry.attr.mode & ~S_ISGID;
  return connection.fs.setattr(caller, node, NO_HANDLE, change, entry.attr);
}

export function removexattr(slot: Slot): number {
  return slot.connection.fs.removexattr(slot.node, slot.name(0));
}
