import { type ByteString, toText } from '../sys/bytes.ts';
import { EIO } from '../sys/errno.ts';
import { ioctl } from '../sys/file.ts';
import { log } from '../sys/log.ts';
import { Memory } from '../sys/memory.ts';
import { getxattrText } from '../sys/xattr.ts';
import { type Inode } from './inode.ts';
import { type Union } from './union.ts';

// overlayfs's `verity`: a metacopy tells in `overlay.metacopy` which fs-verity digest its data has, and data of another
// digest, or of none, is not read (fs/overlayfs/util.c, ovl_validate_verity). The value is `struct ovl_metacopy`:
// version 0, length of the whole, flags, algorithm of the digest, and the digest.
const VERSION = 0;
const LENGTH = 1;
const ALGORITHM = 3;
const HEADER = 4;

/** An fs-verity digest: linux/fsverity.h, FS_VERITY_HASH_ALG_*. */
export interface Digest {
  readonly algorithm: number;
  readonly bytes: ByteString;
}

/** FS_VERITY_MAX_DIGEST_SIZE. */
const DIGEST_MAX = 64;

/** What a metacopy's xattr says: its digest, `none`, or `invalid` where it is no value of overlayfs's. */
export function parseMetacopy(value: ByteString): Digest | 'none' | 'invalid' {
  if (value === '') return 'none';
  const isSized = value.length >= HEADER && value.length <= HEADER + DIGEST_MAX;
  if (!isSized || value.charCodeAt(0) !== VERSION || value.charCodeAt(LENGTH) !== value.length) return 'invalid';
  const algorithm = value.charCodeAt(ALGORITHM);
  return algorithm === 0 ? 'none' : { algorithm, bytes: value.slice(HEADER) };
}

/** The value of a metacopy's xattr. */
export function formatMetacopy(digest: Digest | undefined): ByteString {
  if (digest === undefined) return '';
  return String.fromCharCode(VERSION, HEADER + digest.bytes.length, 0, digest.algorithm) + digest.bytes;
}

const FS_IOC_MEASURE_VERITY = 0xc0046686;
// `struct fsverity_digest`: u16 algorithm, u16 size (of the room, then of the digest), the digest.
const MEASURED = 4;
const measure = new Memory(MEASURED + DIGEST_MAX);

/** The digest of an open file; undefined where it has none, be it that its filesystem knows no fs-verity. */
export function measureDigest(fd: number): Digest | undefined {
  measure.view.setUint16(2, DIGEST_MAX, true);
  if (ioctl(fd, FS_IOC_MEASURE_VERITY, measure.address) < 0) return undefined;
  const size = Math.min(measure.view.getUint16(2, true), DIGEST_MAX);
  return {
    algorithm: measure.view.getUint16(0, true),
    bytes: measure.bytes.toString('latin1', MEASURED, MEASURED + size),
  };
}

/** What speaks against reading data of the digest `actual` for a metacopy that says `expected`; empty where nothing does. */
export function objection(
  expected: Digest | 'none' | 'invalid',
  actual: Digest | undefined,
  isRequired: boolean,
): string {
  if (expected === 'invalid') return 'its metacopy xattr is not of a form that is known';
  if (expected === 'none') return isRequired ? 'verity=require is set, and it names no digest' : '';
  if (actual === undefined) return 'its data has no fs-verity digest';
  const isSame = expected.algorithm === actual.algorithm && expected.bytes === actual.bytes;
  return isSame ? '' : 'its data has another fs-verity digest than it names';
}

/** Whether the data that was opened for a metacopy may be read: 0, or -EIO with the reason in the log. */
export function verifyData(union: Union, inode: Inode, fd: number): number {
  const { verity } = union.options;
  if (verity === undefined || verity === 'off') return 0;
  const value = getxattrText(union.dirfdOf(inode), union.nameOf(inode), union.metacopyXattr);
  const expected = typeof value === 'string' ? parseMetacopy(value) : 'invalid';
  const actual = typeof expected === 'object' ? measureDigest(fd) : undefined;
  const reason = objection(expected, actual, verity === 'require');
  if (reason === '') return 0;
  log(`verity: ${toText(inode.name)} cannot be read: ${reason}`);
  return -EIO;
}
