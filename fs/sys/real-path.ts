import { realpathSync } from 'node:fs';
import { type ByteString } from './text.ts';

/**
 * Absolute path without symlinks, by libc: Node's own takes 5 times as long, and a mount may have hundreds of layers.
 *
 * @throws Error of Node's with a code, where nothing can be reached by it.
 */
export function realPath(path: ByteString): ByteString {
  return realpathSync.native(Buffer.from(path, 'latin1'), 'buffer').toString('latin1');
}
