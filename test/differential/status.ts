import { cstring, libcCalls as libc } from './libc.ts';

const AT_FDCWD = -100;
const NOFOLLOW = 0x100;
const EMPTY_PATH = 0x1000;
const STATX_ALL = 0xfff;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

const raw = Buffer.alloc(256);
const NOTHING = cstring('');

/** What statx(2) says of a file; times are `seconds.nanoseconds`. */
export interface Status {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly ino: bigint;
  readonly size: number;
  readonly atime: string;
  readonly mtime: string;
  readonly device: string;
}

function time(at: number): string {
  return `${raw.readBigInt64LE(at)}.${raw.readUInt32LE(at + 8)}`;
}

function parsed(): Status {
  return {
    mode: raw.readUInt16LE(0x1c),
    nlink: raw.readUInt32LE(0x10),
    uid: raw.readUInt32LE(0x14),
    gid: raw.readUInt32LE(0x18),
    ino: raw.readBigUInt64LE(0x20),
    size: Number(raw.readBigUInt64LE(0x28)),
    atime: time(0x40),
    mtime: time(0x70),
    device: `${raw.readUInt32LE(0x80)}:${raw.readUInt32LE(0x84)}`,
  };
}

/** Of a path; a last symlink is not followed. */
export function statusOf(path: Buffer): Status {
  libc.statx(AT_FDCWD, path, NOFOLLOW, STATX_ALL, raw);
  return parsed();
}

/** Of an open file. */
export function statusOfFd(fd: number): Status {
  libc.statx(fd, NOTHING, EMPTY_PATH, STATX_ALL, raw);
  return parsed();
}

export function isDirectory(status: Status): boolean {
  return (status.mode & S_IFMT) === S_IFDIR;
}

/** What two unions must agree on. */
export function describe(status: Status): string {
  const parts = [status.mode.toString(8), `${status.uid}:${status.gid}`, `mtime ${given(status.mtime)}`];
  // The size of a directory is not promised, nor by overlayfs the count of links; see `snapshot`.
  if (!isDirectory(status)) parts.push(`size ${status.size}`);
  if (status.device !== '0:0') parts.push(`device ${status.device}`);
  return parts.join(' ');
}

// The days around now: the clock's time, which two unions cannot share.
const DAY = 86_400;

/** A time that somebody set, as it is; one of the clock's own as `now`. */
export function given(stamp: string): string {
  return Math.abs(Number(stamp) - Date.now() / 1_000) < DAY ? 'now' : stamp;
}
