import { OPCODE } from './fuse/constants.ts';
import type { FileSystem } from './filesystem.ts';
import { type FuseOptions, MOUNT_TYPE } from './fuse/options.ts';
import { type OperationName } from './libfuse/dispatcher.ts';
import { loadBinding } from './libfuse/package.ts';
import { LibfuseSession } from './libfuse/session.ts';
import { createOverlay } from './overlay/index.ts';
import { type OverlayOptions } from './overlay/options.ts';
import { type ByteString } from './sys/bytes.ts';
import { check } from './sys/errno.ts';
import { log } from './sys/log.ts';
import { umask } from './sys/metadata.ts';
import { raiseOpenFiles } from './sys/resource-limits.ts';
import { leaveSharedDirectory } from './sys/thread.ts';

/** The kernel's request behind each of libfuse's operations: what the counters are by. */
const REQUESTS: Readonly<Record<OperationName, number>> = {
  getattr: OPCODE.GETATTR,
  fgetattr: OPCODE.GETATTR,
  chmod: OPCODE.SETATTR,
  chown: OPCODE.SETATTR,
  truncate: OPCODE.SETATTR,
  ftruncate: OPCODE.SETATTR,
  utimens: OPCODE.SETATTR,
  readlink: OPCODE.READLINK,
  mknod: OPCODE.MKNOD,
  mkdir: OPCODE.MKDIR,
  symlink: OPCODE.SYMLINK,
  link: OPCODE.LINK,
  unlink: OPCODE.UNLINK,
  rmdir: OPCODE.RMDIR,
  rename: OPCODE.RENAME,
  open: OPCODE.OPEN,
  create: OPCODE.CREATE,
  read: OPCODE.READ,
  write: OPCODE.WRITE,
  fsync: OPCODE.FSYNC,
  fallocate: OPCODE.FALLOCATE,
  ioctl: OPCODE.IOCTL,
  release: OPCODE.RELEASE,
  opendir: OPCODE.OPENDIR,
  readdir: OPCODE.READDIR,
  fsyncdir: OPCODE.FSYNCDIR,
  releasedir: OPCODE.RELEASEDIR,
  getxattr: OPCODE.GETXATTR,
  listxattr: OPCODE.LISTXATTR,
  setxattr: OPCODE.SETXATTR,
  removexattr: OPCODE.REMOVEXATTR,
  statfs: OPCODE.STATFS,
};

/** What to serve, where. */
export interface NativeInput {
  readonly mountpoint: ByteString;
  readonly overlay: OverlayOptions;
  readonly fuse: FuseOptions;
  readonly requests: Float64Array;
}

function openUnion(options: OverlayOptions): FileSystem {
  const mask = umask(0);
  try {
    return createOverlay(options);
  } finally {
    umask(mask);
  }
}

/**
 * Mounts through fuse-native and serves from this thread, which must be the main one. Resolves when the kernel has begun;
 * what it resolves with has a promise for the end.
 */
export async function serveNatively(input: NativeInput): Promise<{ readonly ended: Promise<void> }> {
  const { mountpoint, fuse, requests } = input;
  // One thread of libuv's pool waits for libfuse's end; the other work of this process needs another.
  if (process.env['UV_THREADPOOL_SIZE'] === '1') {
    throw new Error('the backend fuse-native needs at least two threads in the pool: UV_THREADPOOL_SIZE=2 or more');
  }
  if (input.overlay.nfsExport === true) {
    throw new Error('nfs_export=on needs the backend "device": libfuse 2.9 finds files by path, not by file handle');
  }
  if (fuse.passthrough === 'on') {
    throw new Error('passthrough=on needs the backend "device": libfuse 2.9 knows of none');
  }
  const binding = loadBinding();
  // Threads of libuv's pool keep their umask while this one changes its own.
  check(leaveSharedDirectory(), 'separate the main thread from the umask of other threads');
  raiseOpenFiles();
  const overlay = openUnion(input.overlay);
  const count = (operation: OperationName): void => {
    const opcode = REQUESTS[operation];
    requests[opcode] = (requests[opcode] ?? 0) + 1;
  };
  const type = MOUNT_TYPE.slice('fuse.'.length);
  return new LibfuseSession(binding, overlay, { mount: fuse, type, count, log }).mount(mountpoint);
}
