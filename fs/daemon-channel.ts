import type { MountOptions } from './mount.ts';

/** The descriptor on which a daemon gets its order and tells how it went. */
export const CHANNEL = 3;

/** What a daemon is to do: one line of JSON. */
export interface DaemonOrder extends MountOptions {
  /** It unmounts when the channel's other end is closed, by whoever started it or by its death. */
  readonly isAttended?: true;
}
