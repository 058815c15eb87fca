import { cstring, Failure, libcCalls as libc } from './libc.ts';
import { statusOf } from './status.ts';
import { asRoot } from './world.ts';

/** A directory entry. */
export interface Entry {
  readonly name: string;
  readonly ino: bigint;
  /** DT_*: the file type shifted right by 12. */
  readonly type: number;
  /** Where reading goes on behind it. */
  readonly next: bigint;
}

const CAPACITY = 32_768;
const SEEK_SET = 0;
// DT_CHR and DT_REG.
const WHITEOUT_TYPES = new Set([2, 8]);
const raw = Buffer.alloc(CAPACITY);

/**
 * One getdents64(2); undefined at the end.
 *
 * @param isReference Kernel overlayfs lists the whiteouts of a directory that no other layer has, and has no file of
 * their names: they are left out.
 */
export function readSome(fd: number, isReference: boolean, capacity = CAPACITY): Entry[] | undefined {
  const length = libc.getdents(fd, raw, capacity);
  if (length === 0) return undefined;
  const entries = parsed(length);
  return isReference ? entries.filter(({ name, type }) => !WHITEOUT_TYPES.has(type) || exists(fd, name)) : entries;
}

function exists(fd: number, name: string): boolean {
  try {
    asRoot(() => statusOf(cstring(`/proc/self/fd/${fd}/${name}`)));
    return true;
  } catch (error) {
    if (error instanceof Failure) return error.code !== 'ENOENT';
    throw error;
  }
}

/** `struct linux_dirent64`, one after the other. */
function parsed(length: number): Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at < length; at += raw.readUInt16LE(at + 16)) {
    const start = at + 19;
    entries.push({
      ino: raw.readBigUInt64LE(at),
      next: raw.readBigInt64LE(at + 8),
      type: raw.readUInt8(at + 18),
      name: raw.toString('latin1', start, raw.indexOf(0, start)),
    });
  }
  return entries;
}

/** All entries from where the descriptor stands. */
export function readOn(fd: number, isReference: boolean, capacity = CAPACITY): Entry[] {
  const all: Entry[] = [];
  for (;;) {
    const some = readSome(fd, isReference, capacity);
    if (some === undefined) return all;
    all.push(...some);
  }
}

/** All entries from the start. */
export function readAll(fd: number, isReference: boolean): Entry[] {
  libc.lseek(fd, 0, SEEK_SET);
  return readOn(fd, isReference);
}

/** Goes back to behind an entry. */
export function seekBehind(fd: number, entry: Entry): void {
  libc.lseek(fd, entry.next, SEEK_SET);
}
