import type { FileSystem, Notifier } from '../filesystem.ts';
import type { DevicePassthrough } from './passthrough.ts';
import type { InboundPipe } from './inbound-pipe.ts';
import type { Splicer } from './splicer.ts';

export type NoOpen = 'auto' | 'on' | 'off';

/** What holds for all requests of one mount, once INIT has settled it. */
export interface Connection {
  readonly fs: FileSystem;
  readonly notifier: Notifier;
  /** Undefined where it is not wanted, or the kernel does not have it. */
  passthrough: DevicePassthrough | undefined;
  /** Undefined where replies do not go to a descriptor. */
  readonly splicer: Splicer | undefined;
  /** How the session reads requests; undefined in a test. */
  inbound: InboundPipe | undefined;
  /** The kernel's page size, which max_pages counts in. */
  readonly pageSize: number;
  /** Lifetime of entries and attributes, as the protocol splits it. */
  validSeconds: number;
  validNanoseconds: number;
  /** SETXATTR carries the longer structure. */
  setxattrExt: boolean;
  /** The kernel opens directories, or files, without asking, once it was told so; its requests have no handle of ours. */
  skipsOpendir: boolean;
  skipsOpen: boolean;
  /** Whether it is to open files so: where it passes none through (`auto`), or whatever it can, or not at all. */
  readonly noOpen: NoOpen;
  /** INIT was answered. */
  started: boolean;
  /** The kernel's minor protocol version. */
  minor: number;
}

/** @param seconds the filesystem's timeout. */
export function setTimeoutOf(connection: Connection, seconds: number): void {
  // The kernel clamps to its own longest timer; 2^32 seconds is beyond it and keeps the value in one word.
  const clamped = Math.min(Math.max(seconds, 0), 0xffffffff);
  connection.validSeconds = Math.floor(clamped);
  connection.validNanoseconds = Math.floor((clamped - connection.validSeconds) * 1e9);
}
