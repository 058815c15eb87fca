import { NO_HANDLE } from '../../filesystem.ts';
import { ENOSYS } from '../../sys/errno.ts';
import { FOPEN, FSYNC_FDATASYNC } from '../constants.ts';
import type { Slot } from '../slot.ts';
import { ABI } from '../structs.ts';

const { fuse_open_out: OPEN_OUT, fuse_read_in: READ_IN, fuse_release_in: RELEASE_IN, fuse_fsync_in: FSYNC_IN } = ABI;

export function opendir(slot: Slot): number {
  const { opened, connection } = slot;
  // The kernel takes it for success, keeps listings cached, and sends neither OPENDIR nor RELEASEDIR again.
  if (connection.skipsOpendir) return -ENOSYS;
  const status = connection.fs.opendir(slot.node, opened);
  if (status < 0) return status;
  // The kernel drops a cached listing by itself when the directory changes through this mount; KEEP_CACHE says that a
  // listing cached by an earlier open is good too.
  slot.setU64(OPEN_OUT.fh, opened.handle);
  slot.setU32(OPEN_OUT.open_flags, opened.keepCache ? FOPEN.CACHE_DIR | FOPEN.KEEP_CACHE : 0);
  slot.setU32(OPEN_OUT.backing_id, 0);
  return OPEN_OUT.sizeof;
}

function fillDirectory(slot: Slot, plus: boolean): number {
  const { directory, connection } = slot;
  directory.begin(plus, Math.min(slot.u32(READ_IN.size), slot.payloadCapacity));
  const handle = connection.skipsOpendir ? NO_HANDLE : slot.u64(READ_IN.fh);
  const status = connection.fs.readdir(slot.node, handle, slot.u64(READ_IN.offset), directory);
  return status < 0 ? status : directory.length;
}

export function readdir(slot: Slot): number {
  return fillDirectory(slot, false);
}

export function readdirplus(slot: Slot): number {
  return fillDirectory(slot, true);
}

export function releasedir(slot: Slot): number {
  slot.connection.fs.releasedir(slot.node, slot.u64(RELEASE_IN.fh));
  return 0;
}

export function fsyncdir(slot: Slot): number {
  const dataOnly = (slot.u32(FSYNC_IN.fsync_flags) & FSYNC_FDATASYNC) !== 0;
  return slot.connection.fs.fsyncdir(slot.node, slot.u64(FSYNC_IN.fh), dataOnly);
}
