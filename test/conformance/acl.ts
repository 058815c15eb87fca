/** A POSIX ACL; permissions are rwx bits. */
export interface Acl {
  readonly user: number;
  readonly users?: Readonly<Record<number, number>>;
  readonly group: number;
  readonly groups?: Readonly<Record<number, number>>;
  readonly mask?: number;
  readonly other: number;
}

const VERSION = 2;
const UNDEFINED_ID = 0xffff_ffff;
const TAG = { user: 0x01, users: 0x02, group: 0x04, groups: 0x08, mask: 0x10, other: 0x20 };

/** The value of `system.posix_acl_access` and `system.posix_acl_default` (linux/posix_acl_xattr.h). */
export function aclXattr(acl: Acl): Buffer {
  const named = (tag: number, ids: Readonly<Record<number, number>> = {}) =>
    Object.entries(ids).map(([id, bits]) => [tag, bits, Number(id)] as const);
  const entries = [
    [TAG.user, acl.user, UNDEFINED_ID] as const,
    ...named(TAG.users, acl.users),
    [TAG.group, acl.group, UNDEFINED_ID] as const,
    ...named(TAG.groups, acl.groups),
    ...(acl.mask === undefined ? [] : [[TAG.mask, acl.mask, UNDEFINED_ID] as const]),
    [TAG.other, acl.other, UNDEFINED_ID] as const,
  ];
  const value = Buffer.alloc(4 + 8 * entries.length);
  value.writeUInt32LE(VERSION, 0);
  entries.forEach(([tag, bits, id], index) => {
    value.writeUInt16LE(tag, 4 + 8 * index);
    value.writeUInt16LE(bits, 6 + 8 * index);
    value.writeUInt32LE(id, 8 + 8 * index);
  });
  return value;
}
