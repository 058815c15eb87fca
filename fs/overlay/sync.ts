import { DEFERRED } from '../filesystem.ts';
import { fdatasync, fsync } from '../sys/file.ts';
import { type OpenFile } from './open-file.ts';
import { PENDING } from './slow-lane.ts';
import { type Union } from './union.ts';

/**
 * fsync(2) of an open file: by the slow lane, where the session has one, as the disk takes its time. The kernel holds the
 * inode's lock meanwhile (fuse_fsync in fs/fuse/file.c), so that a handle has one job at a time, and each request its own.
 */
export function syncFile(union: Union, file: OpenFile, dataOnly: boolean): number {
  const lane = union.slowLane;
  if (lane !== undefined && file.syncJob < 0) file.syncJob = lane.sync(file.fd, dataOnly);
  if (lane === undefined || file.syncJob < 0) return dataOnly ? fdatasync(file.fd) : fsync(file.fd);
  const synced = lane.take(file.syncJob);
  if (synced === PENDING) return DEFERRED;
  file.syncJob = -1;
  return synced;
}
