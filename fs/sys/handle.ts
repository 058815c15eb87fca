import { type ByteString, firstPath } from './bytes.ts';
import { AT_EMPTY_PATH, O_CLOEXEC, O_PATH } from './constants.ts';
import { EINVAL } from './errno.ts';
import { bind, result } from './libc.ts';
import { Memory } from './memory.ts';

const nativeNameToHandle = bind(
  'int name_to_handle_at(int dirfd, uintptr_t path, uintptr_t handle, uintptr_t mountId, int flags)',
);

const nativeOpenByHandle = bind('int open_by_handle_at(int mountFd, uintptr_t handle, int flags)');

// `struct file_handle`: u32 handle_bytes, s32 handle_type, then at most MAX_HANDLE_SZ bytes.
const MAX_HANDLE_SIZE = 128;
const BYTES = 8;
const handle = new Memory(BYTES + MAX_HANDLE_SIZE);
const mountId = new Memory(8);

/** The kernel's persistent name of a file within its filesystem: what it encodes is the filesystem's own affair. */
export interface FileHandle {
  readonly type: number;
  readonly bytes: ByteString;
}

/**
 * name_to_handle_at(2), for which no privilege is needed. A symlink is not followed; an empty `name` stands for the
 * file of `dirfd`. Answers a negative errno where the filesystem has no handles.
 */
export function nameToHandle(dirfd: number, name: ByteString): FileHandle | number {
  handle.view.setUint32(0, MAX_HANDLE_SIZE, true);
  const flags = name === '' ? AT_EMPTY_PATH : 0;
  const done = result(nativeNameToHandle(dirfd, firstPath(name), handle.address, mountId.address, flags));
  if (done < 0) return done;
  const length = handle.view.getUint32(0, true);
  return { type: handle.view.getInt32(4, true), bytes: handle.bytes.toString('latin1', BYTES, BYTES + length) };
}

/**
 * open_by_handle_at(2), for which CAP_DAC_READ_SEARCH in the initial user namespace is needed: an O_PATH descriptor, or
 * -ESTALE where there is no such file any more.
 *
 * @param mountFd of any file of the filesystem, not O_PATH.
 */
export function openByHandle(mountFd: number, { type, bytes }: FileHandle): number {
  if (bytes.length > MAX_HANDLE_SIZE) return -EINVAL;
  handle.view.setUint32(0, bytes.length, true);
  handle.view.setInt32(4, type, true);
  handle.bytes.write(bytes, BYTES, 'latin1');
  return result(nativeOpenByHandle(mountFd, handle.address, O_PATH | O_CLOEXEC));
}
