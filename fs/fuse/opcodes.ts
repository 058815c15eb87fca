import { OPCODE, type OpcodeName } from './constants.ts';
import * as directories from './handlers/directories.ts';
import * as files from './handlers/files.ts';
import type { Handler } from './handlers/handler.ts';
import * as names from './handlers/names.ts';
import * as nodes from './handlers/nodes.ts';
import * as xattrs from './handlers/xattrs.ts';
import { init } from './init.ts';
import { ABI } from './structs.ts';

/** A request that is answered. */
interface Answered {
  readonly handler: Handler;
  /** Bytes that the request has at least behind its header. */
  readonly body: number;
}

/** A request that is not answered, or with ENOSYS, on purpose. */
interface Refused {
  readonly reason: string;
  /** The kernel waits for no reply. */
  readonly silent?: true;
}

const answer = (handler: Handler, struct?: { readonly sizeof: number }): Answered => ({
  handler,
  body: struct?.sizeof ?? 0,
});
const refuse = (reason: string): Refused => ({ reason });

const noLocks = refuse('locks are not negotiated, so that the kernel keeps them itself and sends none');
const noDax = refuse('DAX windows exist in virtiofs alone');

/** Every request that a kernel from 5.4 to 6.18 can send. */
export const REQUESTS: Readonly<Record<OpcodeName, Answered | Refused>> = {
  INIT: answer(init, { sizeof: ABI.fuse_init_in.flags2 }),
  DESTROY: answer(() => 0),
  LOOKUP: answer(nodes.lookup),
  FORGET: answer(nodes.forget, ABI.fuse_forget_in),
  BATCH_FORGET: answer(nodes.batchForget, ABI.fuse_batch_forget_in),
  GETATTR: answer(nodes.getattr, ABI.fuse_getattr_in),
  SETATTR: answer(nodes.setattr, ABI.fuse_setattr_in),
  STATX: answer(nodes.statx, ABI.fuse_statx_in),
  READLINK: answer(nodes.readlink),
  STATFS: answer(nodes.statfs),
  MKNOD: answer(names.mknod, ABI.fuse_mknod_in),
  MKDIR: answer(names.mkdir, ABI.fuse_mkdir_in),
  SYMLINK: answer(names.symlink),
  LINK: answer(names.link, ABI.fuse_link_in),
  UNLINK: answer(names.unlink),
  RMDIR: answer(names.rmdir),
  RENAME: answer(names.rename, ABI.fuse_rename_in),
  RENAME2: answer(names.rename2, ABI.fuse_rename2_in),
  OPEN: answer(files.open, ABI.fuse_open_in),
  CREATE: answer(files.create, ABI.fuse_create_in),
  TMPFILE: answer(files.tmpfile, ABI.fuse_create_in),
  READ: answer(files.read, ABI.fuse_read_in),
  WRITE: answer(files.write, ABI.fuse_write_in),
  RELEASE: answer(files.release, ABI.fuse_release_in),
  FSYNC: answer(files.fsync, ABI.fuse_fsync_in),
  FALLOCATE: answer(files.fallocate, ABI.fuse_fallocate_in),
  LSEEK: answer(files.lseek, ABI.fuse_lseek_in),
  COPY_FILE_RANGE: answer(files.copyFileRange, ABI.fuse_copy_file_range_in),
  COPY_FILE_RANGE_64: answer(files.copyFileRange64, ABI.fuse_copy_file_range_in),
  IOCTL: answer(files.ioctl, ABI.fuse_ioctl_in),
  SYNCFS: answer(files.syncfs, ABI.fuse_syncfs_in),
  OPENDIR: answer(directories.opendir, ABI.fuse_open_in),
  READDIR: answer(directories.readdir, ABI.fuse_read_in),
  READDIRPLUS: answer(directories.readdirplus, ABI.fuse_read_in),
  RELEASEDIR: answer(directories.releasedir, ABI.fuse_release_in),
  FSYNCDIR: answer(directories.fsyncdir, ABI.fuse_fsync_in),
  SETXATTR: answer(xattrs.setxattr, { sizeof: ABI.fuse_setxattr_in.setxattr_flags }),
  GETXATTR: answer(xattrs.getxattr, ABI.fuse_getxattr_in),
  LISTXATTR: answer(xattrs.listxattr, ABI.fuse_getxattr_in),
  REMOVEXATTR: answer(xattrs.removexattr),
  FLUSH: refuse('writes are complete when they are answered; after one ENOSYS the kernel sends no more'),
  INTERRUPT: refuse('a request is answered before the next is read; after one ENOSYS the kernel sends no more'),
  ACCESS: refuse('the mount has default_permissions: the kernel checks'),
  GETLK: noLocks,
  SETLK: noLocks,
  SETLKW: noLocks,
  BMAP: refuse('blocks exist for filesystems on block devices alone (fuseblk)'),
  POLL: refuse('regular files and directories are always ready, which the kernel assumes after one ENOSYS'),
  SETUPMAPPING: noDax,
  REMOVEMAPPING: noDax,
  NOTIFY_REPLY: { reason: 'answers NOTIFY_RETRIEVE, which is never sent', silent: true },
};

const SIZE = Math.max(...Object.values(OPCODE)) + 1;

/** Opcodes index it; undefined is ENOSYS. */
export const HANDLERS: readonly (Handler | undefined)[] = tableOf((request) =>
  'handler' in request ? request.handler : undefined,
);

/** Bytes behind the header, by opcode. */
export const BODIES: readonly number[] = tableOf((request) => ('handler' in request ? request.body : 0)).map(
  (body) => body ?? 0,
);

/** Opcodes whose request has no reply, beside those whose handler says so. */
export const SILENT: readonly boolean[] = tableOf((request) => 'silent' in request).map((silent) => silent ?? false);

function tableOf<T>(select: (request: Answered | Refused) => T): (T | undefined)[] {
  const table = new Array<T | undefined>(SIZE).fill(undefined);
  for (const [name, request] of Object.entries(REQUESTS)) table[OPCODE[name as OpcodeName]] = select(request);
  return table;
}
