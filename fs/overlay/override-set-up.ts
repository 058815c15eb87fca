import { toText } from '../sys/bytes.ts';
import { ENODATA, EPERM, describeErrno } from '../sys/errno.ts';
import { fstat } from '../sys/file.ts';
import { SELF, getxattrText, setxattrText } from '../sys/xattr.ts';
import { type Layer } from './layer.ts';
import {
  ALL_RECORDS,
  NO_OVERRIDE,
  OVERRIDE_XATTRS,
  TRUSTED_RECORDS,
  UPPER_RECORDS,
  detectOverride,
  writeOverride,
} from './stat-override.ts';
import { type Union } from './union.ts';

/**
 * Finds out which layers keep owners and modes in xattrs (`xattr_permissions`), and makes the upper such a one where
 * that is asked for.
 *
 * Without being asked we believe an ordinary user's xattr only where we are no more than that ourselves: else a file of
 * anybody's in a layer could show as root's and set-uid.
 *
 * @param isPrivileged we are root, not of a user namespace.
 */
export function settleOverrides(union: Union, isPrivileged: boolean): void {
  const wanted = union.options.xattrPermissions;
  if (wanted === 0) return;
  const trusted = wanted !== undefined || !isPrivileged ? ALL_RECORDS : TRUSTED_RECORDS;
  for (const layer of union.layers) {
    const names = layer.writable && wanted !== undefined ? UPPER_RECORDS[wanted] : trusted;
    const detected = detectOverride(layer, names);
    layer.override = detected === NO_OVERRIDE && wanted !== undefined ? OVERRIDE_XATTRS[wanted] : detected;
  }
  if (union.upper !== undefined && wanted !== undefined) recordRoot(union, union.upper);
}

/** The root of the upper shows as that of the union: it gets the record of the topmost lower one, or one as it is. */
function recordRoot(union: Union, upper: Layer): void {
  const { fd } = upper.root;
  const own = getxattrText(fd, SELF, upper.override);
  if (typeof own === 'string') return;
  const known = own === -ENODATA ? lowerRecord(union) : undefined;
  let written = own === -ENODATA ? 0 : own;
  if (written === 0 && known !== undefined) written = setxattrText(fd, SELF, upper.override, known);
  else if (written === 0) written = fstat(fd, union.scratch) || writeOverride(upper, fd, SELF, union.scratch);
  if (written === 0) return;
  const advice =
    written === -EPERM
      ? 'as an ordinary user, use xattr_permissions=2'
      : 'use an upper whose filesystem has such xattrs';
  throw new Error(
    `cannot keep owners of upperdir ${toText(upper.path)} in ${upper.override}: ${describeErrno(written)}; ${advice}`,
  );
}

function lowerRecord(union: Union): string | undefined {
  for (const layer of union.lowers) {
    const record = getxattrText(layer.root.fd, SELF, layer.override);
    if (typeof record === 'string') return record;
  }
  return undefined;
}
