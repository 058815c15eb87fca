import { LINKS_ONCE_ASKED, LISTS_NOTHING, TAKES_NAME_BACK } from './remarks.ts';

/** A difference that is meant. */
interface Departure {
  readonly why: string;
  /** Whether the two unions go separate ways from there. */
  readonly parts: boolean;
  readonly covers: (where: string, expected: string, actual: string) => boolean;
}

const MTIME = /\bmtime \S+/;
const INO = / ino \d+/;
// Neither a regular file nor a directory.
const SPECIAL = / (1[24]\d{4}|[126]\d{4}) /;
const CHANGES_HELD = /: held(Chmod|Chown|Utimens|Setxattr|Removexattr) /;
const REMOVES_ACL = /: removexattr \S* system\.posix_acl_/;
const USER_REMOVES_ACL = /(user|other): removexattr \S* system\.posix_acl_access/;
const SETGID_OUTCOME = /^ok (4|10)([2367])(?=[0-7]{3}$)/;
const NAMELESS = new Set(['EEXIST', 'ENOENT', 'ENOTDIR', 'ENOTEMPTY', 'EISDIR', 'ESTALE', TAKES_NAME_BACK]);
// The latter two of an xattr that there cannot be: overlayfs copies up before it asks.
const WITHOUT_COPY_UP = new Set(['ok', 'EOPNOTSUPP', 'EINVAL']);
// A directory that is there and cannot be listed.
const LISTS_NOT = /^\S+\/ ENOENT$/;
const SGID_WITHOUT_GROUP_EXECUTE = /\b10[2367][0-7][0246][0-7] /;

/** What lamina does otherwise than kernel overlayfs, on purpose. */
export const DEPARTURES: readonly Departure[] = [
  {
    why: 'overlayfs sets the mtime of a metacopy when it copies the data, which opening it for writing does',
    // A swap turns the sides round: the difference would come back as another.
    parts: true,
    covers: (_, expected, actual) =>
      expected.includes('mtime now') &&
      actual.replace(MTIME, 'mtime now').replace(INO, '') === expected.replace(INO, ''),
  },
  {
    why: 'overlayfs cannot copy up a lower file that is open and has lost its name, or gives it that name again',
    parts: true,
    covers: (where, expected, actual) =>
      CHANGES_HELD.test(where) && NAMELESS.has(expected) && WITHOUT_COPY_UP.has(actual),
  },
  {
    why: 'overlayfs lists the number of the upper directory and stats that of the lower',
    parts: false,
    covers: (_, expected, actual) => expected.replace(' d_ino differs', '') === actual,
  },
  {
    why: 'with userxattr overlayfs keeps no origin of a symlink or a special file, and breaks the hard links of lower ones',
    parts: true,
    covers: (_, expected, actual) =>
      SPECIAL.test(actual) && actual.replace(/ is .*/s, '') === expected.replace(/ is .*/s, ''),
  },
  {
    why: 'a write by one who is not of the group takes setgid without group execute away: FUSE tells no groups',
    parts: true,
    covers: (_, expected, actual) =>
      SGID_WITHOUT_GROUP_EXECUTE.test(actual) &&
      expected === actual.replace(/\b10([2367])/, (__, bits) => `10${Number(bits) - 2}`),
  },
  {
    why: 'overlayfs refuses to remove an ACL that is not there only of a lower file: ext4 never does',
    parts: false,
    covers: (where, expected, actual) => REMOVES_ACL.test(where) && expected === 'ENODATA' && actual.startsWith('ok'),
  },
  {
    why: 'to remove an ACL takes setgid away from one who is not of the group, only in overlayfs: ext4 keeps it',
    parts: true,
    covers: (where, expected, actual) =>
      USER_REMOVES_ACL.test(where) &&
      SETGID_OUTCOME.test(actual) &&
      expected === actual.replace(SETGID_OUTCOME, (__, type, bits) => `ok ${type}${Number(bits) - 2}`),
  },
  {
    why: 'overlayfs counts whiteouts by xattr as files when it looks whether a directory is empty',
    parts: true,
    covers: (_, expected, actual) => expected === LISTS_NOTHING && actual === 'ok',
  },
  {
    why: 'a held lower directory that was replaced is changed: overlayfs copies it up over what has its name, unreachable',
    parts: true,
    covers: (where, expected, actual) =>
      where.startsWith('the trees after') && LISTS_NOT.test(expected) && actual !== expected,
  },
  {
    why: 'overlayfs does not rename one name of a lower symlink onto another that userxattr has it break from: ext4 does',
    parts: true,
    covers: (where, expected, actual) => where.includes(' rename ') && expected === 'ESTALE' && actual === 'ok',
  },
  {
    why: 'link(2) goes by the setuid and setgid that the kernel remembers, which a write to FUSE takes away unseen',
    parts: false,
    covers: (_, expected, actual) => expected === 'ok' && actual === LINKS_ONCE_ASKED,
  },
  {
    why: 'overlayfs lists another number than it stats once it has forgotten or been mounted again',
    parts: true,
    covers: (where, expected, actual) =>
      where.endsWith('shown by kernel overlayfs, then by kernel overlayfs') &&
      actual.replace(' d_ino differs', '').replace(INO, '') === expected.replace(INO, ''),
  },
];
