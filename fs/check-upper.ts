import { type FsckReport, fsck } from './fsck/index.ts';
import type { FsckOptions } from './fsck/options.ts';
import { realPath } from './sys/real-path.ts';
import { listMounts } from './mounts.ts';
import { type ByteString, toText } from './sys/text.ts';

/** `fsck`, with what the registry of mounts knows: which of them, if any, changes the upper. */
export function checkUpper(options: FsckOptions): FsckReport {
  const { upper } = options.overlay;
  return fsck(options, upper === undefined ? undefined : mountOf(upper));
}

function mountOf(upper: ByteString): string | undefined {
  let path: ByteString;
  try {
    path = realPath(upper);
  } catch {
    // Opening it says why.
    return undefined;
  }
  const mount = listMounts().find(({ branches, alive }) => alive && branches.some((branch) => isUpper(branch, path)));
  return mount && `lamina is mounted on it, at ${toText(mount.mountpoint)}`;
}

function isUpper({ path, permission }: { path: ByteString; permission: string }, upper: ByteString): boolean {
  return permission === 'rw' && path === upper;
}
