import { readFileSync, readlinkSync } from 'node:fs';
import { hrtime } from 'node:process';
import { type Container, liveStatus } from '../container.ts';
import { readGroups } from './cgroup.ts';
import { type Usage, usageOf } from './usage.ts';

/** What a container has used until a moment. */
export interface Sample extends Usage {
  readonly container: Container;
  readonly isRunning: boolean;
  /** Bytes over its own network interfaces. */
  readonly received: number;
  readonly sent: number;
  /** Nanoseconds on a clock that is never set. */
  readonly time: number;
}

const NOTHING: Usage = { cpu: 0, memory: 0, memoryLimit: 0, processes: 0, blockRead: 0, blockWritten: 0 };

/** Of a container that does not run, or has no control group, there is nothing to tell. */
export function sampleContainer(container: Container): Sample {
  const state = container.readState();
  const isRunning = ['running', 'orphaned'].includes(liveStatus(state));
  const groups = isRunning ? readGroups(container.directory) : undefined;
  const usage = groups === undefined ? NOTHING : usageOf(groups);
  const time = Number(hrtime.bigint());
  return { container, isRunning, ...usage, ...networkTraffic(isRunning ? state.init?.pid : undefined), time };
}

/** The host's network is not the container's. */
function networkTraffic(pid: number | undefined): Pick<Sample, 'received' | 'sent'> {
  const none = { received: 0, sent: 0 };
  if (pid === undefined) return none;
  try {
    if (readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync('/proc/self/ns/net')) return none;
    return sumOfInterfaces(readFileSync(`/proc/${pid}/net/dev`, 'latin1'));
  } catch {
    // It has just ended, or is not ours to look into.
    return none;
  }
}

/** Of a text such as /proc/net/dev: bytes that came are its first column, those that went its ninth. */
function sumOfInterfaces(text: string): Pick<Sample, 'received' | 'sent'> {
  let [received, sent] = [0, 0];
  for (const line of text.split('\n')) {
    const [, name, numbers = ''] = /^\s*([^:\s]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || name === 'lo') continue;
    const columns = numbers.split(/\s+/).map(Number);
    received += columns[0] ?? 0;
    sent += columns[8] ?? 0;
  }
  return { received, sent };
}

/** CPU time between two samples in percent of one CPU. */
export function cpuPercent(before: Sample | undefined, now: Sample): number {
  if (before === undefined || now.time <= before.time) return 0;
  return Math.max(0, (100 * (now.cpu - before.cpu)) / (now.time - before.time));
}
