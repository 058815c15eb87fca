import { type Attr } from '../sys/attr.ts';
import { ioctl } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';

// What chattr sets. In the upper, its filesystem holds to it; what a lower file forbids is held to here, as the
// kernel's overlayfs does by the flags of its own inode.

const STATX_ATTR_IMMUTABLE = 0x10;
const STATX_ATTR_APPEND = 0x20;

// linux/fs.h
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_SYNC = 0x08;
const FS_APPEND = 0x20;
const FS_NOATIME = 0x80;

const ioctlFlags = new Memory(8);

export function isImmutable(attr: Attr): boolean {
  return (attr.attributes & STATX_ATTR_IMMUTABLE) !== 0;
}

export function isAppendOnly(attr: Attr): boolean {
  return (attr.attributes & STATX_ATTR_APPEND) !== 0;
}

/** Neither removed, renamed, linked nor changed (may_delete of the kernel's fs/namei.c). */
export function isProtected(attr: Attr): boolean {
  return (attr.attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) !== 0;
}

/** Gives a copy the flags that overlayfs copies up (OVL_COPY_FS_FLAGS_MASK); where it cannot have them, it is right without. */
export function copyFlags(from: number, to: number): void {
  addFlags(to, flagsOf(from) & (FS_SYNC | FS_NOATIME));
}

/** After the commit of a copy-up: before it, the copy could not be renamed. */
export function makeAppendOnly(fd: number): void {
  addFlags(fd, FS_APPEND);
}

function flagsOf(fd: number): number {
  return ioctl(fd, FS_IOC_GETFLAGS, ioctlFlags.address) < 0 ? 0 : ioctlFlags.view.getUint32(0, true);
}

function addFlags(fd: number, added: number): void {
  if (added === 0) return;
  ioctlFlags.view.setUint32(0, flagsOf(fd) | added, true);
  ioctl(fd, FS_IOC_SETFLAGS, ioctlFlags.address);
}
