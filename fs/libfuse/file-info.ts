import { copyBytes, Memory } from '../sys/memory.ts';

/** Offsets in libfuse 2.9's `struct fuse_file_info`. */
const INFO = { flags: 0, writePage: 16, bits: 20, handle: 24 } as const;
const DIRECT_IO = 1;

const word = new Memory(8);

function readU32(address: number): number {
  copyBytes(word.address, address, 4);
  return word.view.getUint32(0, true);
}

function writeU32(address: number, value: number): void {
  word.view.setUint32(0, value, true);
  copyBytes(address, word.address, 4);
}

/** open(2) flags of a `struct fuse_file_info`. */
export function openFlagsAt(info: number): number {
  return readU32(info + INFO.flags);
}

/** Whether a write is the page cache's, through any handle that can write. */
export function isFromCacheAt(info: number): boolean {
  return readU32(info + INFO.writePage) !== 0;
}

export function handleAt(info: number): number {
  return readU32(info + INFO.handle);
}

export function setHandleAt(info: number, handle: number): void {
  writeU32(info + INFO.handle, handle);
  writeU32(info + INFO.handle + 4, 0);
}

/** Reads and writes of the file must reach us. */
export function setDirectIoAt(info: number): void {
  writeU32(info + INFO.bits, readU32(info + INFO.bits) | DIRECT_IO);
}
