import { type Attr, encodeDevice, STATX } from '../sys/attr.ts';
import { Memory } from '../sys/memory.ts';

// `struct stat` and `struct statvfs` of glibc on x86-64, which libfuse reads. Built here, then copied to where it wants
// them.

export const STAT = {
  ino: 8,
  nlink: 16,
  mode: 24,
  uid: 28,
  gid: 32,
  rdev: 40,
  size: 48,
  blksize: 56,
  blocks: 64,
  atime: 72,
  mtime: 88,
  ctime: 104,
} as const;
export const STAT_SIZE = 144;

function copy64(to: DataView, at: number, from: DataView, offset: number): void {
  to.setUint32(at, from.getUint32(offset, true), true);
  to.setUint32(at + 4, from.getUint32(offset + 4, true), true);
}

/** `struct timespec` from statx's timestamp, whose nanoseconds have 32 bits. */
function copyTime(to: DataView, at: number, from: DataView, offset: number): void {
  copy64(to, at, from, offset);
  to.setUint32(at + 8, from.getUint32(offset + 8, true), true);
  to.setUint32(at + 12, 0, true);
}

/** Fills a `struct stat`, 64-bit values and nanoseconds exact. */
export function putStat(out: Memory, attr: Attr): void {
  const { view } = out;
  const from = attr.view;
  out.bytes.fill(0);
  copy64(view, STAT.ino, from, STATX.ino);
  view.setUint32(STAT.nlink, attr.nlink, true);
  view.setUint32(STAT.mode, attr.mode, true);
  view.setUint32(STAT.uid, attr.uid, true);
  view.setUint32(STAT.gid, attr.gid, true);
  // libfuse hands it on to the kernel as it is.
  view.setUint32(STAT.rdev, encodeDevice(attr.rdevMajor, attr.rdevMinor), true);
  copy64(view, STAT.size, from, STATX.size);
  view.setUint32(STAT.blksize, attr.blksize, true);
  copy64(view, STAT.blocks, from, STATX.blocks);
  copyTime(view, STAT.atime, from, STATX.atimeSec);
  copyTime(view, STAT.mtime, from, STATX.mtimeSec);
  copyTime(view, STAT.ctime, from, STATX.ctimeSec);
}

/** Size of the C library's `struct statfs`. */
export const STATFS_SIZE = 120;
export const STATVFS_SIZE = 112;

/** Where each word of 8 bytes of `struct statvfs` comes from in `struct statfs`. */
const STATVFS_FROM_STATFS: readonly (readonly [to: number, from: number])[] = [
  [0, 8], // f_bsize
  [8, 72], // f_frsize
  [16, 16], // f_blocks
  [24, 24], // f_bfree
  [32, 32], // f_bavail
  [40, 40], // f_files
  [48, 48], // f_ffree
  [56, 48], // f_favail: that of f_ffree, as in glibc
  [64, 56], // f_fsid
  [72, 80], // f_flag
  [80, 64], // f_namemax
];

/** Fills a `struct statvfs` from a `struct statfs`. */
export function putStatvfs(out: Memory, statfs: Memory): void {
  out.bytes.fill(0);
  for (const [to, from] of STATVFS_FROM_STATFS) copy64(out.view, to, statfs.view, from);
}
