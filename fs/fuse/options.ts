import type { ByteString } from '../sys/bytes.ts';
import type { NoOpen } from './connection.ts';

/** How the kernel is to mount. What is undefined has its default: noatime, and the rest as mount(8) has it. */
export interface FuseOptions {
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
  /** Who speaks to the kernel: we ourselves (the default), or libfuse in the npm package fuse-native. */
  readonly backend?: Backend;
  /**
   * Whether the kernel reads and writes files by itself: where it can (the default), always or not at all, files of the
   * upper alone, those of lower layers, too, or never.
   */
  readonly passthrough?: 'auto' | 'on' | 'upper' | 'all' | 'off';
  /**
   * Whether the kernel opens files without asking, where the union allows it: a file is then copied up by the first write.
   * Where it passes no files through (the default), always, or never.
   */
  readonly noOpen?: NoOpen;
}

export const BACKENDS = ['device', 'fuse-native'] as const;
export type Backend = (typeof BACKENDS)[number];

/** The type that /proc/mounts shows. */
export const MOUNT_TYPE = 'fuse.lamina';
