const ON_DISK = 'looks at owner or mode on disk, which are in a record here';
const ENCODED = 'such xattrs are kept under other names beside records, where they mean nothing to the union';

/** Rows of the conformance suite that cannot hold where owners and modes are kept in xattrs (`xattr_permissions=2`). */
export const RECORDS_EXCLUSIONS: ReadonlyMap<string, string> = new Map([
  ['copy-up by a write keeps owner, mode, xattrs, ACL and atime', ON_DISK],
  ['create in a lower directory copies its parents up with mode, owner, times and xattrs', ON_DISK],
  ['everything a user makes belongs to that user, in lower and upper directories', ON_DISK],
  ['nothing of trusted.overlay.* can be set, read or removed, so no user makes an opaque mark', ENCODED],
  ['user.overlay.* and user.fuseoverlayfs.* are hidden and cannot be set', ENCODED],
]);
