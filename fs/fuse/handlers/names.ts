import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../sys/constants.ts';
import { EINVAL } from '../../sys/errno.ts';
import type { Slot } from '../slot.ts';
import { ABI } from '../structs.ts';
import { replyEntry } from './nodes.ts';

const {
  fuse_mknod_in: MKNOD_IN,
  fuse_mkdir_in: MKDIR_IN,
  fuse_rename_in: RENAME_IN,
  fuse_rename2_in: RENAME2_IN,
  fuse_link_in: LINK_IN,
} = ABI;

export function mknod(slot: Slot): number {
  const { caller, entry, connection } = slot;
  caller.umask = slot.u32(MKNOD_IN.umask);
  const mode = slot.u32(MKNOD_IN.mode);
  const rdev = slot.u32(MKNOD_IN.rdev);
  const name = slot.name(MKNOD_IN.sizeof);
  return replyEntry(slot, connection.fs.mknod(caller, slot.node, name, mode, rdev, entry));
}

export function mkdir(slot: Slot): number {
  const { caller, entry, connection } = slot;
  caller.umask = slot.u32(MKDIR_IN.umask);
  const mode = slot.u32(MKDIR_IN.mode);
  return replyEntry(slot, connection.fs.mkdir(caller, slot.node, slot.name(MKDIR_IN.sizeof), mode, entry));
}

export function symlink(slot: Slot): number {
  const { caller, entry, connection } = slot;
  const end = slot.endOfName(0);
  return replyEntry(slot, connection.fs.symlink(caller, slot.node, slot.text(0, end), slot.name(end + 1), entry));
}

export function link(slot: Slot): number {
  const { entry, connection } = slot;
  const node = slot.u64(LINK_IN.oldnodeid);
  return replyEntry(slot, connection.fs.link(node, slot.node, slot.name(LINK_IN.sizeof), entry));
}

export function unlink(slot: Slot): number {
  return slot.connection.fs.unlink(slot.node, slot.name(0));
}

export function rmdir(slot: Slot): number {
  return slot.connection.fs.rmdir(slot.node, slot.name(0));
}

function renameAt(slot: Slot, names: number, newParent: number, flags: number): number {
  const end = slot.endOfName(names);
  return slot.connection.fs.rename(slot.node, slot.text(names, end), newParent, slot.name(end + 1), flags);
}

export function rename(slot: Slot): number {
  return renameAt(slot, RENAME_IN.sizeof, slot.u64(RENAME_IN.newdir), 0);
}

export function rename2(slot: Slot): number {
  const flags = slot.u32(RENAME2_IN.flags);
  // RENAME_WHITEOUT is for a union's own use; overlayfs refuses it to users as well.
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0) return -EINVAL;
  return renameAt(slot, RENAME2_IN.sizeof, slot.u64(RENAME2_IN.newdir), flags);
}
