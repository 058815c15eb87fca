import { type FileOffset, readFileOffset } from './file-offset.ts';
import { inodeNumber } from './inode-number.ts';
import { Memory } from './memory.ts';

/** statx(2) mask: type to size, blocks and birth time. */
export const STATX_BASIC_STATS = 0x7ff;
export const STATX_BTIME = 0x800;
const STATX_MNT_ID = 0x1000;

/** Byte offsets in `struct statx` (linux/stat.h). */
export const STATX = {
  mask: 0x00,
  blksize: 0x04,
  attributes: 0x08,
  nlink: 0x10,
  uid: 0x14,
  gid: 0x18,
  mode: 0x1c,
  ino: 0x20,
  size: 0x28,
  blocks: 0x30,
  atimeSec: 0x40,
  atimeNsec: 0x48,
  btimeSec: 0x50,
  btimeNsec: 0x58,
  ctimeSec: 0x60,
  ctimeNsec: 0x68,
  mtimeSec: 0x70,
  mtimeNsec: 0x78,
  rdevMajor: 0x80,
  rdevMinor: 0x84,
  devMajor: 0x88,
  devMinor: 0x8c,
  mountId: 0x90,
} as const;

const SIZE = 256;

/**
 * Attributes of a file, in the kernel's own `struct statx`: filled by one system call, copied into a FUSE reply word by
 * word, 64-bit values exact. Meant to be pooled and refilled.
 */
export class Attr {
  readonly memory = new Memory(SIZE);
  readonly view: DataView = this.memory.view;

  get nlink(): number {
    return this.view.getUint32(STATX.nlink, true);
  }
  set nlink(value: number) {
    this.view.setUint32(STATX.nlink, value, true);
  }

  get uid(): number {
    return this.view.getUint32(STATX.uid, true);
  }
  set uid(value: number) {
    this.view.setUint32(STATX.uid, value, true);
  }

  get gid(): number {
    return this.view.getUint32(STATX.gid, true);
  }
  set gid(value: number) {
    this.view.setUint32(STATX.gid, value, true);
  }

  /** File type and permission bits. */
  get mode(): number {
    return this.view.getUint16(STATX.mode, true);
  }
  set mode(value: number) {
    this.view.setUint16(STATX.mode, value, true);
  }

  /** See `inodeNumber`. */
  get ino(): number {
    return inodeNumber(this.view.getUint32(STATX.ino, true), this.view.getUint32(STATX.ino + 4, true));
  }
  set ino(value: number) {
    this.#setU64(STATX.ino, value);
  }

  /** Bytes; exact below 2^53, see `exactSize`. */
  get size(): number {
    return this.#u64(STATX.size);
  }
  set size(value: number) {
    this.#setU64(STATX.size, value);
  }

  get exactSize(): FileOffset {
    return readFileOffset(this.view, STATX.size);
  }

  get blocks(): number {
    return this.#u64(STATX.blocks);
  }
  set blocks(value: number) {
    this.#setU64(STATX.blocks, value);
  }

  /** STATX_ATTR_* bits below 2^32. */
  get attributes(): number {
    return this.view.getUint32(STATX.attributes, true);
  }

  get blksize(): number {
    return this.view.getUint32(STATX.blksize, true);
  }

  get atimeSec(): number {
    return this.#i64(STATX.atimeSec);
  }
  get atimeNsec(): number {
    return this.view.getUint32(STATX.atimeNsec, true);
  }
  get mtimeSec(): number {
    return this.#i64(STATX.mtimeSec);
  }
  get mtimeNsec(): number {
    return this.view.getUint32(STATX.mtimeNsec, true);
  }
  get ctimeSec(): number {
    return this.#i64(STATX.ctimeSec);
  }
  get ctimeNsec(): number {
    return this.view.getUint32(STATX.ctimeNsec, true);
  }

  get rdevMajor(): number {
    return this.view.getUint32(STATX.rdevMajor, true);
  }
  get rdevMinor(): number {
    return this.view.getUint32(STATX.rdevMinor, true);
  }

  setRdev(major: number, minor: number): void {
    this.view.setUint32(STATX.rdevMajor, major, true);
    this.view.setUint32(STATX.rdevMinor, minor, true);
  }

  /** One number for the filesystem's device, fit as a key: major * 2^20 + minor. */
  get dev(): number {
    return this.view.getUint32(STATX.devMajor, true) * 0x100000 + this.view.getUint32(STATX.devMinor, true);
  }

  /** Of the mount through which the file was reached (Linux 5.8, which tells it unasked); undefined where it is not told. */
  get mountId(): number | undefined {
    const isTold = (this.view.getUint32(STATX.mask, true) & STATX_MNT_ID) !== 0;
    return isTold ? this.#u64(STATX.mountId) : undefined;
  }

  #u64(offset: number): number {
    return this.view.getUint32(offset + 4, true) * 0x100000000 + this.view.getUint32(offset, true);
  }

  #i64(offset: number): number {
    return this.view.getInt32(offset + 4, true) * 0x100000000 + this.view.getUint32(offset, true);
  }

  #setU64(offset: number, value: number): void {
    this.view.setUint32(offset, value >>> 0, true);
    this.view.setUint32(offset + 4, Math.floor(value / 0x100000000), true);
  }
}

/** rdev as the kernel's mknod(2) and FUSE take it (new_encode_dev): major in bits 8 to 19, minor around it. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** Major number of what `encodeDevice` made. */
export function majorOf(device: number): number {
  return (device >>> 8) & 0xfff;
}

/** Minor number of what `encodeDevice` made. */
export function minorOf(device: number): number {
  return (device & 0xff) | ((device >>> 12) & 0xfff00);
}
