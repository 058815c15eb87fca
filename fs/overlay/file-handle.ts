import { type ByteString } from '../sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../sys/constants.ts';
import { close, ioctl, openat } from '../sys/file.ts';
import { type FileHandle, nameToHandle } from '../sys/handle.ts';
import { inodeNumber } from '../sys/inode-number.ts';
import { Memory } from '../sys/memory.ts';
import { getxattrText } from '../sys/xattr.ts';
import { type Layer } from './layer.ts';
import { type Union } from './union.ts';

// The on-disk form of a lower file's identity, `struct ovl_fb` (fs/overlayfs/overlayfs.h): version 0, magic, length,
// flags, type of the handle, UUID of the filesystem, and the handle. It is the value of `overlay.origin` and, in hex,
// the name of an index entry.
const MAGIC = 0xfb;
const LENGTH = 2;
const TYPE = 4;
const UUID = 5;
const UUID_SIZE = 16;
const HANDLE = UUID + UUID_SIZE;
/** A flag: the file is of the upper layer (OVL_FH_FLAG_PATH_UPPER). */
const OF_UPPER = 4;
/** Of a filesystem whose UUID is not known. */
const NO_UUID: ByteString = '\0'.repeat(UUID_SIZE);

// Handle types of linux/exportfs.h whose inode number can be read off.
const INO32_GENERATION = 1;
const INO32_GENERATION_PARENT = 2;
const INO64_GENERATION = 0x81;
const BTRFS = 0x4d;

const FS_IOC_GETFSUUID = 0x80111500;
const uuid = new Memory(17);

/**
 * Finds out by which UUID origins are to name the filesystems of lower layers: their own (Linux 6.9), or zeros, by which
 * the kernel does not recognise what we write. Of two filesystems with the same one, as a copied image has, neither can
 * be named; `uuid=off` wants all to be zeros.
 */
export function readUuids(lowers: readonly Layer[], isOff: boolean): void {
  for (const layer of lowers) {
    layer.uuid = isOff ? NO_UUID : readUuid(layer);
    const handle = nameToHandle(layer.root.fd, '');
    if (typeof handle === 'object' && handle.type === BTRFS) layer.subvolume = subvolumeOf(handle.bytes);
  }
  const shared = lowers.filter((layer) => lowers.some((other) => isMistakable(layer, other)));
  for (const layer of shared) layer.uuid = NO_UUID;
}

function isMistakable(layer: Layer, other: Layer): boolean {
  return layer.dev !== other.dev && layer.uuid === other.uuid && layer.subvolume === other.subvolume;
}

/** UUID of the filesystem of a layer (Linux 6.9), or zeros. */
export function readUuid(layer: Layer): ByteString {
  const fd = openat(layer.root.fd, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const known = fd >= 0 && ioctl(fd, FS_IOC_GETFSUUID, uuid.address) === 0 && uuid.bytes[0] === UUID_SIZE;
  if (fd >= 0) close(fd);
  return known ? uuid.bytes.toString('latin1', 1, 1 + UUID_SIZE) : NO_UUID;
}

/** `struct btrfs_fid`: object, root, generation. */
function subvolumeOf(handle: ByteString): ByteString {
  return handle.slice(8, 16);
}

/** Identity of a lower file, or undefined where its filesystem has no handles. */
export function encodeHandle(union: Union, layer: Layer, dirfd: number, name: ByteString): ByteString | undefined {
  return isNameable(union, layer) ? nameIdentity(dirfd, name, layer.uuid) : undefined;
}

/** Whether handles of the layer's filesystem can be told from those of others. */
export function isNameable(union: Union, layer: Layer): boolean {
  return layer.uuid !== NO_UUID || !union.lowers.some((other) => isMistakable(layer, other));
}

/** As `encodeHandle`, for a layer that is nameable. */
export function nameIdentity(dirfd: number, name: ByteString, uuid: ByteString): ByteString | undefined {
  return encode(nameToHandle(dirfd, name), uuid, 0);
}

/** Identity of an upper layer's root, by which an index knows whose it is. */
export function encodeUpperHandle(upper: Layer): ByteString | undefined {
  return encode(nameToHandle(upper.root.fd, ''), readUuid(upper), OF_UPPER);
}

function encode(handle: FileHandle | number, id: ByteString, flags: number): ByteString | undefined {
  if (typeof handle === 'number') return undefined;
  const header = String.fromCharCode(0, MAGIC, HANDLE + handle.bytes.length, flags, handle.type & 0xff);
  return header + id + handle.bytes;
}

export function hexOf(bytes: ByteString): ByteString {
  return Buffer.from(bytes, 'latin1').toString('hex');
}

/** A file's identity, taken apart. */
export interface Identity {
  readonly uuid: ByteString;
  readonly handle: FileHandle;
}

/** What `encodeHandle` has put together; undefined for anything else. */
export function parseIdentity(bytes: ByteString): Identity | undefined {
  const whole = bytes.length > HANDLE && bytes.charCodeAt(0) === 0 && bytes.charCodeAt(1) === MAGIC;
  if (!whole || bytes.charCodeAt(LENGTH) !== bytes.length) return undefined;
  return {
    uuid: bytes.slice(UUID, HANDLE),
    handle: { type: bytes.charCodeAt(TYPE), bytes: bytes.slice(HANDLE) },
  };
}

/** Whether two identities are one file's, as far as their filesystems have UUIDs that are known. */
export function isSameIdentity(one: ByteString, other: ByteString): boolean {
  const [first, second] = [parseIdentity(one), parseIdentity(other)];
  if (first === undefined || second === undefined) return false;
  const isKnown = first.uuid !== NO_UUID && second.uuid !== NO_UUID;
  if (isKnown && first.uuid !== second.uuid) return false;
  return first.handle.type === second.handle.type && first.handle.bytes === second.handle.bytes;
}

/** The identity of the lower file that an upper one was copied from. */
export function readOrigin(union: Union, dirfd: number, name: ByteString): ByteString | undefined {
  const origin = getxattrText(dirfd, name, union.originXattr);
  if (typeof origin !== 'string' || origin.length < HANDLE) return undefined;
  return origin.charCodeAt(1) === MAGIC && origin.charCodeAt(LENGTH) === origin.length ? origin : undefined;
}

/**
 * st_ino that an upper file had as a lower one, read off its origin, or 0: so it stays the same over copy-up and
 * remount. Nothing is opened by the handle, for which an ordinary user lacks the right.
 */
export function originIno(union: Union, origin: ByteString): number {
  const id = origin.slice(UUID, HANDLE);
  const type = origin.charCodeAt(TYPE);
  const handle = origin.slice(HANDLE);
  const subvolume = type === BTRFS ? subvolumeOf(handle) : '';
  const layer = union.lowers.find((lower) => lower.uuid === id && lower.subvolume === subvolume);
  const ino = inoOfHandle(type, Buffer.from(handle, 'latin1'));
  return layer === undefined || ino === 0 ? 0 : layer.uniqueIno(ino);
}

function inoOfHandle(type: number, handle: Buffer): number {
  switch (type) {
    case INO32_GENERATION:
    case INO32_GENERATION_PARENT:
      // tmpfs (mm/shmem.c) has generation, then the number's low and high word under the same type.
      if (handle.length === 12) return inodeNumber(handle.readUInt32LE(4), handle.readUInt32LE(8));
      return handle.length >= 8 ? handle.readUInt32LE(0) : 0;
    case INO64_GENERATION:
    case BTRFS:
      return handle.length >= 8 ? inodeNumber(handle.readUInt32LE(0), handle.readUInt32LE(4)) : 0;
    default:
      return 0;
  }
}
