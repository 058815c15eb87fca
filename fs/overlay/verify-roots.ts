import { type ByteString, toText } from '../sys/bytes.ts';
import { ENODATA } from '../sys/errno.ts';
import { getxattrText, SELF, setxattrText } from '../sys/xattr.ts';
import { encodeHandle, encodeUpperHandle, isSameIdentity } from './file-handle.ts';
import { type RealDirectory } from './real-directory.ts';
import { type Union } from './union.ts';

/** An xattr by which a directory says to which other one it belongs. */
interface Bond {
  readonly of: number;
  readonly xattr: ByteString;
  readonly handle: ByteString | undefined;
  /** Said where it belongs to another. */
  readonly complaint: string;
}

/**
 * Where the index is asked for by name: refuses an upper that was first mounted over another topmost lower layer, and an
 * index that is another upper's, and marks those that have no mark yet (fs/overlayfs/super.c, ovl_get_indexdir). Where
 * nobody asked, as where layers were copied to another disk, the union is mounted; `lamina fsck` tells.
 */
export function verifyRoots(union: Union, index: RealDirectory): void {
  const { upper, options } = union;
  const [lower] = union.lowers;
  if (options.index !== true || upper === undefined || lower === undefined) return;
  const [upperPath, lowerPath] = [toText(upper.path), toText(lower.path)];
  verify({
    of: upper.root.fd,
    xattr: union.originXattr,
    handle: encodeHandle(union, lower, lower.root.fd, SELF),
    complaint: `upperdir ${upperPath} was made over another lower layer than ${lowerPath}: give the layers that it had`,
  });
  verify({
    of: index.fd,
    xattr: union.upperXattr,
    handle: encodeUpperHandle(upper),
    complaint: `the index in workdir ${toText(options.work ?? '')} is of another upper than ${upperPath}: give the one that it was used with, or remove it`,
  });
}

function verify({ of, xattr, handle, complaint }: Bond): void {
  if (handle === undefined) return;
  const kept = getxattrText(of, SELF, xattr);
  // Where it cannot be kept, nothing is lost but this check.
  if (kept === -ENODATA) setxattrText(of, SELF, xattr, handle);
  else if (typeof kept === 'string' && !isSameIdentity(kept, handle)) {
    throw new Error(`cannot mount: ${complaint}, or mount with index=off`);
  }
}
