import { OPCODE, REQUEST_COUNTERS } from './fuse/constants.ts';
import { COUNTER, COUNTERS } from './overlay/options.ts';

/** What a mount has done since it began. */
export interface MountStats {
  /** Requests of the kernel by name, those that came at all. */
  readonly requests: Readonly<Record<string, number>>;
  readonly overlay: Readonly<Record<keyof typeof COUNTER, number>>;
}

/** Counters that the worker writes and every thread reads. */
export interface SharedCounters {
  readonly requests: Float64Array;
  readonly overlay: Float64Array;
}

export function createCounters(): SharedCounters {
  return {
    requests: new Float64Array(new SharedArrayBuffer(REQUEST_COUNTERS * Float64Array.BYTES_PER_ELEMENT)),
    overlay: new Float64Array(new SharedArrayBuffer(COUNTERS * Float64Array.BYTES_PER_ELEMENT)),
  };
}

/** The counters by name. */
export function readCounters(counters: SharedCounters): MountStats {
  const requests: Record<string, number> = {};
  for (const [name, number] of Object.entries(OPCODE)) {
    const count = counters.requests[number] ?? 0;
    if (count > 0) requests[name] = count;
  }
  const unknown = counters.requests[0] ?? 0;
  if (unknown > 0) requests['unknown'] = unknown;
  const overlay = Object.fromEntries(
    Object.entries(COUNTER).map(([name, index]) => [name, counters.overlay[index] ?? 0]),
  );
  return { requests, overlay: overlay as Record<keyof typeof COUNTER, number> };
}
