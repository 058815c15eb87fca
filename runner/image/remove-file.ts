import { toBytes } from '../../fs/sys/bytes.ts';
import { AT_FDCWD } from '../../fs/sys/constants.ts';
import { ENOENT, check } from '../../fs/sys/errno.ts';
import { unlinkat } from '../../fs/sys/file.ts';

/** Removes a file, if there is one. Node's `rmSync` would load what it removes trees with, in every start of a container. */
export function removeFile(path: string): void {
  const status = unlinkat(AT_FDCWD, toBytes(path));
  if (status !== -ENOENT) check(status, `remove ${path}`);
}
