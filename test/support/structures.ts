/** Attributes of a file as statx(2) gives them; times are nanoseconds since 1970. */
export interface Status {
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** File type and permission bits. */
  readonly mode: number;
  readonly ino: bigint;
  readonly size: number;
  /** Of 512 bytes. */
  readonly blocks: number;
  readonly atime: bigint;
  readonly mtime: bigint;
  readonly ctime: bigint;
  /** Undefined where the filesystem tells none. */
  readonly btime: bigint | undefined;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** Of the filesystem. */
  readonly device: string;
}

/** A directory entry. */
export interface Listed {
  readonly name: string;
  readonly ino: bigint;
  /** DT_*: the file type shifted right by 12. */
  readonly type: number;
  /** Where a later read goes on behind this entry. */
  readonly next: bigint;
}

/** Room offered to every ioctl. */
export const IOCTL_SIZE = 128;

const STATX_BTIME = 0x800;
const BILLION = 1_000_000_000n;
const UTIME_NOW = 0x3fffffffn;
const UTIME_OMIT = 0x3ffffffen;

/** Reads a `struct statx` (linux/stat.h). */
export function parseStatus(raw: Buffer): Status {
  const time = (at: number) => raw.readBigInt64LE(at) * BILLION + BigInt(raw.readUInt32LE(at + 8));
  return {
    nlink: raw.readUInt32LE(0x10),
    uid: raw.readUInt32LE(0x14),
    gid: raw.readUInt32LE(0x18),
    mode: raw.readUInt16LE(0x1c),
    ino: raw.readBigUInt64LE(0x20),
    size: Number(raw.readBigUInt64LE(0x28)),
    blocks: Number(raw.readBigUInt64LE(0x30)),
    atime: time(0x40),
    ctime: time(0x60),
    mtime: time(0x70),
    btime: (raw.readUInt32LE(0) & STATX_BTIME) === 0 ? undefined : time(0x50),
    rdevMajor: raw.readUInt32LE(0x80),
    rdevMinor: raw.readUInt32LE(0x84),
    device: `${raw.readUInt32LE(0x88)}:${raw.readUInt32LE(0x8c)}`,
  };
}

/** Reads what getdents64(2) filled: `struct linux_dirent64` one after the other. */
export function parseDirectory(raw: Buffer): Listed[] {
  const entries: Listed[] = [];
  for (let at = 0; at < raw.length; at += raw.readUInt16LE(at + 16)) {
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

/** The names of a list of NUL-terminated strings, sorted. */
export function splitNames(raw: Buffer): string[] {
  return raw.toString('latin1').split('\0').filter(Boolean).sort();
}

/** Two `struct timespec` for utimensat(2). */
export function timespecs(...times: readonly (bigint | 'now' | 'omit')[]): Buffer {
  const raw = Buffer.alloc(16 * times.length);
  times.forEach((time, index) => {
    const [seconds, nanoseconds] = split(time);
    raw.writeBigInt64LE(seconds, 16 * index);
    raw.writeBigInt64LE(nanoseconds, 16 * index + 8);
  });
  return raw;
}

function split(time: bigint | 'now' | 'omit'): [seconds: bigint, nanoseconds: bigint] {
  if (time === 'now') return [0n, UTIME_NOW];
  if (time === 'omit') return [0n, UTIME_OMIT];
  // Nanoseconds count forward from a whole second, before 1970 too.
  const nanoseconds = ((time % BILLION) + BILLION) % BILLION;
  return [(time - nanoseconds) / BILLION, nanoseconds];
}

/** `struct flock`, for a whole range or from `start` on; open file description locks want its pid of 0. */
export function recordLock(type: number, start: number, length: number): Buffer {
  const raw = Buffer.alloc(32);
  raw.writeInt16LE(type, 0);
  raw.writeBigInt64LE(BigInt(start), 8);
  raw.writeBigInt64LE(BigInt(length), 16);
  return raw;
}
