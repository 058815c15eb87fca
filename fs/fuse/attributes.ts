import type { Entry } from '../filesystem.ts';
import { type Attr, encodeDevice, STATX } from '../sys/attr.ts';
import type { Connection } from './connection.ts';
import { ABI } from './structs.ts';

const { fuse_attr: ATTR, fuse_entry_out: ENTRY } = ABI;

function copy64(out: DataView, to: number, from: DataView, at: number): void {
  out.setUint32(to, from.getUint32(at, true), true);
  out.setUint32(to + 4, from.getUint32(at + 4, true), true);
}

function copy32(out: DataView, to: number, from: DataView, at: number): void {
  out.setUint32(to, from.getUint32(at, true), true);
}

/** Writes `struct fuse_attr` at `base`, word by word from `struct statx`. */
export function putAttr(out: DataView, base: number, attr: Attr): void {
  const from = attr.view;
  copy64(out, base + ATTR.ino, from, STATX.ino);
  copy64(out, base + ATTR.size, from, STATX.size);
  copy64(out, base + ATTR.blocks, from, STATX.blocks);
  copy64(out, base + ATTR.atime, from, STATX.atimeSec);
  copy64(out, base + ATTR.mtime, from, STATX.mtimeSec);
  copy64(out, base + ATTR.ctime, from, STATX.ctimeSec);
  copy32(out, base + ATTR.atimensec, from, STATX.atimeNsec);
  copy32(out, base + ATTR.mtimensec, from, STATX.mtimeNsec);
  copy32(out, base + ATTR.ctimensec, from, STATX.ctimeNsec);
  out.setUint32(base + ATTR.mode, attr.mode, true);
  copy32(out, base + ATTR.nlink, from, STATX.nlink);
  copy32(out, base + ATTR.uid, from, STATX.uid);
  copy32(out, base + ATTR.gid, from, STATX.gid);
  out.setUint32(base + ATTR.rdev, encodeDevice(attr.rdevMajor, attr.rdevMinor), true);
  copy32(out, base + ATTR.blksize, from, STATX.blksize);
  out.setUint32(base + ATTR.flags, 0, true);
}

/** Writes `struct fuse_entry_out` at `base`. With node 0 it says that the name does not exist, for as long as any. */
export function putEntry(out: DataView, base: number, entry: Entry, connection: Connection): void {
  out.setUint32(base + ENTRY.nodeid, entry.node >>> 0, true);
  out.setUint32(base + ENTRY.nodeid + 4, Math.floor(entry.node / 0x100000000), true);
  out.setUint32(base + ENTRY.generation, entry.generation >>> 0, true);
  out.setUint32(base + ENTRY.generation + 4, Math.floor(entry.generation / 0x100000000), true);
  out.setUint32(base + ENTRY.entry_valid, connection.validSeconds, true);
  out.setUint32(base + ENTRY.entry_valid + 4, 0, true);
  const { attributesLast: last } = entry;
  out.setUint32(base + ENTRY.attr_valid, last ? connection.validSeconds : 0, true);
  out.setUint32(base + ENTRY.attr_valid + 4, 0, true);
  out.setUint32(base + ENTRY.entry_valid_nsec, connection.validNanoseconds, true);
  out.setUint32(base + ENTRY.attr_valid_nsec, last ? connection.validNanoseconds : 0, true);
  putAttr(out, base + ENTRY.attr, entry.attr);
}
