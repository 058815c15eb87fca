import { type AttrChange, CHANGE } from '../filesystem.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFLNK } from '../sys/constants.ts';
import { EOPNOTSUPP } from '../sys/errno.ts';
import { isForeign } from './make-real.ts';
import { chmodReal, chownReal, utimesReal } from './real-file.ts';
import { type Union } from './union.ts';

/** "Leave it as it is", to chown(2). */
const UNCHANGED = 0xffffffff;

/** The owner that a change asks for, as the layers have it; UNCHANGED where it asks for none. */
export function givenUid(union: Union, { valid, uid }: AttrChange): number {
  return (valid & CHANGE.uid) === 0 ? UNCHANGED : union.owners.uid.stored(uid);
}

/** The same of the group. */
export function givenGid(union: Union, { valid, gid }: AttrChange): number {
  return (valid & CHANGE.gid) === 0 ? UNCHANGED : union.owners.gid.stored(gid);
}

/** Changes the owner of a file whose own says what holds. */
export function giveOwner(union: Union, dirfd: number, name: ByteString, change: AttrChange): number {
  const owned = chownReal(dirfd, name, givenUid(union, change), givenGid(union, change));
  return union.owners.squashes && isForeign(owned) ? 0 : owned;
}

/**
 * Changes owner, mode and times of a file whose own say what holds, in the order in which none undoes another: chown(2)
 * clears setuid and setgid.
 *
 * @param type S_IFMT bits.
 */
export function giveAttributes(
  union: Union,
  type: number,
  dirfd: number,
  name: ByteString,
  change: AttrChange,
): number {
  const { valid } = change;
  if ((valid & (CHANGE.uid | CHANGE.gid)) !== 0) {
    const owned = giveOwner(union, dirfd, name, change);
    if (owned < 0) return owned;
  }
  if ((valid & CHANGE.mode) !== 0) {
    const changed = type === S_IFLNK ? -EOPNOTSUPP : chmodReal(dirfd, name, change.mode & 0o7777);
    if (changed < 0) return changed;
  }
  return (valid & CHANGE.times) === 0 ? 0 : utimesReal(dirfd, name, change.times);
}
