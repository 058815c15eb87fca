import { type ByteString } from './bytes.ts';
import { inodeNumber } from './inode-number.ts';
import { bind, result } from './libc.ts';
import { Memory } from './memory.ts';

const nativeGetdents = bind('int64_t getdents64(int fd, uintptr_t buffer, size_t size)');

// `struct linux_dirent64`: u64 ino, s64 off, u16 reclen, u8 type, name with its NUL.
const INO = 0;
const RECORD_LENGTH = 16;
const TYPE = 18;
const NAME = 19;

const CAPACITY = 32768;

/** What one call of `readDirectory` gives for each entry but `.` and `..`. */
export type EntryVisitor = (name: ByteString, type: number, ino: number) => void;

const memory = new Memory(CAPACITY);

/**
 * Reads all entries of an open directory from its present offset; answers 0 or a negative errno.
 * `visit` must not read another directory: the buffer is one a thread.
 *
 * @param fd opened for reading (not O_PATH).
 */
export function readDirectory(fd: number, visit: EntryVisitor): number {
  for (;;) {
    const length = result(nativeGetdents(fd, memory.address, CAPACITY));
    if (length <= 0) return length;
    visitRecords(length, visit);
  }
}

function visitRecords(length: number, visit: EntryVisitor): void {
  const { view, bytes } = memory;
  for (let at = 0; at < length; at += view.getUint16(at + RECORD_LENGTH, true)) {
    const start = at + NAME;
    const name = bytes.toString('latin1', start, bytes.indexOf(0, start));
    if (name === '.' || name === '..') continue;
    const ino = inodeNumber(view.getUint32(at + INO, true), view.getUint32(at + INO + 4, true));
    visit(name, view.getUint8(at + TYPE), ino);
  }
}
