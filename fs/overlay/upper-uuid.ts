import { randomBytes } from 'node:crypto';
import { type ByteString, toText } from '../sys/bytes.ts';
import { ENODATA } from '../sys/errno.ts';
import { log } from '../sys/log.ts';
import { SELF, getxattrText, setxattrText } from '../sys/xattr.ts';
import { type Layer } from './layer.ts';

const UUID_SIZE = 16;

/**
 * Gives the upper a UUID of its own where it has none (overlayfs's `uuid=on`): kernel overlayfs tells its mounts by it.
 * FUSE has no place to show it in. Where it cannot be kept, the mount is as with `uuid=null`.
 */
export function giveUuid(upper: Layer, xattr: ByteString): void {
  const { fd } = upper.root;
  const known = getxattrText(fd, SELF, xattr);
  const given = known === -ENODATA ? setxattrText(fd, SELF, xattr, randomUuid()) : 0;
  if (given < 0) log(`upperdir ${toText(upper.path)} gets no UUID: its filesystem takes no ${xattr} (errno ${-given})`);
}

/** Version 4 of RFC 9562. */
function randomUuid(): ByteString {
  const bytes = randomBytes(UUID_SIZE);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString('latin1');
}
