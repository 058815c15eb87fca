import { DEFERRED } from '../filesystem.ts';
import { fdatasync, fsync } from '../sys/file.ts';
import { type Handle } from './handle.ts';
import { PENDING } from './slow-lane.ts';
import { type Union } from './union.ts';

/**
 * fsync(2) of an open file: by the slow lane, where the session has one, as the disk takes its time. The kernel holds the
 * inode's lock meanwhile (fuse_fsync in fs/fuse/file.c), so that a handle has one job at a time, and each request its own.
 */
export function syncFile(union: Union, handle: Handle, dataOnly: boolean): number {
  const lane = union.slowLane;
  if (lane !== undefined && handle.syncJob < 0) handle.syncJob = lane.sync(handle.fd, dataOnly);
  if (lane === undefined || handle.syncJob < 0) return dataOnly ? fdatasync(handle.fd) : fsync(handle.fd);
  const synced = lane.take(handle.syncJob);
  if (synced === PENDING) return DEFERRED;
  handle.syncJob = -1;
  return synced;
}
