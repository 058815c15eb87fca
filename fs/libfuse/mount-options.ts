import { type ByteString, toText } from '../sys/bytes.ts';
import { CAP_SYS_ADMIN, hasCapability } from '../sys/capability.ts';
import { MS_PRIVATE, MS_REC, MS_SLAVE } from '../sys/constants.ts';

/** How the kernel is to mount. What is undefined has its default: noatime, and the rest as mount(8) has it. */
export interface LibfuseOptions {
  /** What /proc/mounts shows as the source. */
  readonly fsname?: ByteString;
  readonly readOnly?: boolean;
  readonly suid?: boolean;
  readonly dev?: boolean;
  readonly exec?: boolean;
  readonly atime?: boolean;
  readonly diratime?: boolean;
  /** Other users may use the mount. By default where we may mount by ourselves. */
  readonly allowOther?: boolean;
  readonly propagation?: 'private' | 'rprivate' | 'slave' | 'rslave';
}

export const PROPAGATION: Readonly<Record<NonNullable<LibfuseOptions['propagation']>, number>> = {
  private: MS_PRIVATE,
  rprivate: MS_PRIVATE | MS_REC,
  slave: MS_SLAVE,
  rslave: MS_SLAVE | MS_REC,
};

/** What the binding has room for, cut without a word beyond it; with the NUL. */
const ROOM = 1024;

function escape(value: string): string {
  return value.replace(/[\\,]/g, '\\$&');
}

function* flagsOf(options: LibfuseOptions, privileged: boolean): Generator<string> {
  if (options.readOnly === true) yield 'ro';
  if (options.exec === false) yield 'noexec';
  if (options.atime !== true) yield 'noatime';
  if (options.allowOther ?? privileged) yield 'allow_other';
  // libfuse mounts nosuid and nodev unless it is told otherwise; fusermount insists on it.
  if (privileged && options.suid !== false) yield 'suid';
  if (privileged && options.dev !== false) yield 'dev';
  // fusermount3 knows no such option: it never minds.
  if (privileged) yield 'nonempty';
}

/**
 * The options in the form of libfuse's command line.
 * @param timeout lifetime of names in the kernel, seconds.
 * @param type subtype: what follows `fuse.` in /proc/mounts.
 */
export function libfuseArguments(options: LibfuseOptions, timeout: number, type: string): string {
  if (options.atime === true && options.diratime === false) {
    throw new Error('nodiratime without noatime is not an option of libfuse 2.9 (backend fuse-native)');
  }
  const list = [
    `fsname=${escape(toText(options.fsname ?? 'lamina'))}`,
    `subtype=${type}`,
    'default_permissions',
    // Inode numbers are ours, not libfuse's own.
    'use_ino',
    'big_writes',
    `entry_timeout=${timeout}`,
    `negative_timeout=${timeout}`,
    // Each hard link is an inode of its own to libfuse, and so to the kernel: a change by one name must show by the other.
    'attr_timeout=0',
    ...flagsOf(options, hasCapability(CAP_SYS_ADMIN)),
  ];
  const text = `-o${list.join(',')}`;
  if (Buffer.byteLength(text) >= ROOM) throw new Error(`the mount options are too long for fuse-native: ${text}`);
  return text;
}

/** The mount point as the binding takes it: UTF-8, and with room for its end. */
export function libfuseMountpoint(mountpoint: ByteString): string {
  const text = toText(mountpoint);
  if (Buffer.from(text).toString('latin1') !== mountpoint || mountpoint.length >= ROOM) {
    throw new Error(`${text}: fuse-native mounts on UTF-8 paths of up to ${ROOM - 1} bytes (use the default backend)`);
  }
  return text;
}
